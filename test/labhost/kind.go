package labhost

// Kind is what a host has, and who runs a Test there.
type Kind string

// The kinds of hosts. All have a network address, their own boot id and machine id, and the accounts root, nobody and, those with systemd, alice (1000).
const (
	// Systemd is a host that systemd booted, with D-Bus, logind and sshd. A Test runs as root, as a service.
	Systemd Kind = "systemd"
	// SystemdNext is the same with the systemd of a later release: Debian trixie's, which makes waits grow (RestartSteps=) and knows DelegateSubgroup=.
	SystemdNext Kind = "systemd-next"
	// SystemdUser is the same host as Systemd, where alice lingers. A Test runs as her, as a service of her user manager.
	SystemdUser Kind = "systemd-user"
	// Delegated is the same host again. A Test runs as alice, in a cgroup that her user manager delegated to it.
	Delegated Kind = "delegated"
	// Cgroup is a host without systemd, with a writable cgroup v2 on /sys/fs/cgroup. A Test runs as root, in the cgroup /test.
	Cgroup Kind = "cgroup"
	// Limits is a machine with a kernel of its own, User Mode Linux, which has one CPU and every controller of cgroup v2 on /sys/fs/cgroup. There is no systemd
	// and no network. It boots in a second and a half, and computes at a fraction of the speed. It is for Test only, which runs as root, in the cgroup /test.
	Limits Kind = "limits"
	// LimitsSystemd is the same with systemd, which boots in some seconds. A Test runs as root, as a service.
	LimitsSystemd Kind = "limits-systemd"
	// Bare is a host with neither systemd nor a cgroup file system. A Test runs as root.
	Bare Kind = "bare"
)

// systemd tells whether systemd is process 1 there.
func (k Kind) systemd() bool {
	return k == Systemd || k == SystemdNext || k == LimitsSystemd || k.alice()
}

// release is the release of Debian that its root is of; empty: the machine's own.
func (k Kind) release() string {
	if k == SystemdNext {
		return "trixie"
	}
	return ""
}

// machine tells whether it has a kernel of its own.
func (k Kind) machine() bool { return k == Limits || k == LimitsSystemd }

// alice tells whether a Test there runs as alice.
func (k Kind) alice() bool { return k == SystemdUser || k == Delegated }

// user is who runs a Test there.
func (k Kind) user() string {
	if k.alice() {
		return "alice"
	}
	return "root"
}
