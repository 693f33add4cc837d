//go:build unix

package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/testprog"
)

func listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// describe is what the process finds about itself.
func describe() testprog.Line {
	l := testprog.Line{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid(), Rlimits: map[string][2]uint64{}, Files: openFiles()}
	for _, a := range os.Args {
		l.Args = append(l.Args, []byte(a))
	}
	for _, e := range os.Environ() {
		l.Env = append(l.Env, []byte(e))
	}
	dir, err := os.Getwd()
	check(err)
	l.Dir = []byte(dir)
	l.Session, err = unix.Getsid(0)
	check(err)
	l.Umask = syscall.Umask(0)
	syscall.Umask(l.Umask)
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	check(err)
	l.Nice = 20 - nice // the kernel's own answer: getpriority(2)
	for name, resource := range map[string]int{"core": unix.RLIMIT_CORE, "fsize": unix.RLIMIT_FSIZE, "stack": unix.RLIMIT_STACK} {
		var r unix.Rlimit
		check(unix.Getrlimit(resource, &r))
		l.Rlimits[name] = [2]uint64{uint64(r.Cur), uint64(r.Max)}
	}
	return l
}

// openFiles lists the descriptors that were open when the program began; what Go's runtime opens for itself isn't a file.
func openFiles() map[int]string {
	found := map[int]string{}
	for fd := range 256 {
		to, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			found[fd] = to
		}
	}
	return found
}
