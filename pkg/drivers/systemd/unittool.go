package systemd

// The tool is this program under other names, in argv[0]: units call it for what systemd can't do by itself.
const (
	toolStop   = "reconciler-stop"   // ExecStop=: URL, the grace period in milliseconds
	toolReload = "reconciler-reload" // ExecReload=: a signal's name or a URL
	toolExec   = "reconciler-exec"   // ExecStart=: directory, program, arguments, all wrapped
	toolListen = "reconciler-listen" // the same, behind the number of the daemon's sockets and the sockets in their order, all wrapped
)

// toolVariable begins the names of the variables in which toolExec finds those that systemd can't carry.
const toolVariable = "RECONCILER_ENV_"

// mainPID is the variable in which systemd tells a command of a unit which process is the main one. A manifest's own would hide it.
const mainPID = "MAINPID"
