package spawn

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Cmd is a process to be.
type Cmd struct {
	// Path is the program, absolute. Args is all of its argv, the name it is called by included. Env is its whole environment.
	Path string
	Args []string
	Env  []string
	// Dir is the working directory, absolute. It must be open to the account.
	Dir string
	// Account is who it runs as; nil: as this process does.
	Account *Account
	// Umask is its file mode creation mask.
	Umask int
	// Nice is its scheduling priority. 0 is set where this process may, and else inherited.
	Nice int
	// Rlimits are process limits in place of those of this process.
	Rlimits []Rlimit
	// Stdout and Stderr are its outputs. Its standard input is /dev/null.
	Stdout, Stderr *os.File
	// Listeners are sockets that it is given as in sd_listen_fds(3): descriptors from 3 on, and the variables LISTEN_PID, which is its own number, LISTEN_FDS and LISTEN_FDNAMES.
	Listeners []Listener
	// Tag marks it and its descendants; 0: it inherits what this process has.
	Tag uint64
	// Cgroup is a descriptor of the directory of a cgroup v2 that it is in from its first instant (CLONE_INTO_CGROUP, Linux 5.7); 0: that of this process.
	Cgroup int
	// NoNewPrivileges keeps it from gaining rights by execve(2): see PR_SET_NO_NEW_PRIVS.
	NoNewPrivileges bool
	// Capabilities, by their numbers, are all that it and its children can ever have, and what it starts with; nil: what its account has. See MayDropCapabilities.
	Capabilities []int
}

// Listener is a socket under a name without colons.
type Listener struct {
	File *os.File
	Name string
}

// listenVars begins the names of the variables that tell a process of its sockets.
const listenVars = "LISTEN_"

// listening is env with what tells of listeners in place of what it said of others. Who the sockets are for only the process itself knows.
func listening(env []string, listeners []Listener) []string {
	if len(listeners) == 0 {
		return env
	}
	names := make([]string, len(listeners))
	for i, l := range listeners {
		names[i] = l.Name
	}
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{listenVars + "PID", listenVars + "FDS", listenVars + "FDNAMES"}, name)
	})
	return append(env, listenVars+"FDS="+strconv.Itoa(len(listeners)), listenVars+"FDNAMES="+strings.Join(names, ":"))
}

// Rlimit is a process limit: see getrlimit(2).
type Rlimit struct {
	// Name is as the manual has it, in lower case and without RLIMIT_: nofile, nproc, core.
	Name       string
	Soft, Hard uint64
}

// Account is a user and group as a process has them.
type Account struct {
	UID, GID uint32
	// Groups are the supplementary groups.
	Groups []uint32
	// Name, Home and Shell are what its environment says.
	Name, Home, Shell string
}

// Environ returns the variables that every process of the account starts with. They depend on the account only, not on who starts the process.
func (a *Account) Environ() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
		"HOME=" + a.Home, "USER=" + a.Name, "LOGNAME=" + a.Name, "SHELL=" + a.Shell,
	}
}

// EnvironWith returns those variables with vars over them, sorted.
func (a *Account) EnvironWith(vars map[string]string) []string {
	all := map[string]string{}
	for _, kv := range a.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		all[k] = v
	}
	maps.Copy(all, vars)
	env := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		env = append(env, k+"="+all[k])
	}
	return env
}
