// Package plainfile opens files that nobody has to wait for, as regular files and directories are, with one call to the kernel. os.OpenFile makes six of it on Linux: it has the
// runtime's poller try whether it could wait for the file. It must never be used for what can block, as a FIFO, a terminal or a socket: such a read would hold a thread.
package plainfile
