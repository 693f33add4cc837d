package web

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processFamilies writes what the kernel says of this process: see getrusage(2) and proc(5).
func processFamilies(e *encoder) {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) == nil {
		e.family("process_cpu_seconds", counter, "seconds", "CPU time of this program.")
		e.seconds("", "", time.Duration(use.Utime.Nano()+use.Stime.Nano()))
	}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			if pages, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				e.family("process_resident_memory_bytes", gauge, "bytes", "Memory of this program.")
				e.int("", "", pages*int64(os.Getpagesize()))
			}
		}
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		e.family("process_open_fds", gauge, "", "Open file descriptors of this program.")
		e.int("", "", int64(len(fds)-1)) // less the one of the folder
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		e.family("process_max_fds", gauge, "", "The most that there may be.")
		e.float("", "", float64(limit.Cur))
	}
}
