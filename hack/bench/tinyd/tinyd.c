/* The smallest daemon that can be measured: it notes when its main() began, as "ID PID NANOSECONDS\n" of CLOCK_REALTIME at the end of a file, and waits.
   usage: tinyd FILE ID */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
	struct timespec now;
	char line[128];
	int fd, n;

	clock_gettime(CLOCK_REALTIME, &now);
	if (argc != 3)
		return 2;
	fd = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return 1;
	n = snprintf(line, sizeof line, "%s %d %lld\n", argv[2], (int)getpid(), now.tv_sec * 1000000000LL + now.tv_nsec);
	if (n < 0 || n >= (int)sizeof line || write(fd, line, n) != n)
		return 1;
	close(fd);
	for (;;)
		pause();
}
