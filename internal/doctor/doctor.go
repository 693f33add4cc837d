// Package doctor says what a machine lacks for running daemons, what is lost by that, and the command that mends it. Gather looks, and Examine judges: it is pure.
//
// It must never change anything, nor say of what can't be told that it is well.
package doctor

import (
	"slices"
	"time"
)

// Status is how bad a finding is.
type Status string

// The statuses.
const (
	OK   Status = "OK"   // nothing is lost
	Warn Status = "WARN" // daemons run, and something of what a manifest may ask for is lost
	Fail Status = "FAIL" // daemons can't run as asked
)

// Finding is what one check came to.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	// Lost is what the machine can't do because of it, and Mend the command that mends it, for root where it begins with "as root: "; both are empty where
	// there is nothing to say.
	Lost string `json:"lost,omitempty"`
	Mend string `json:"mend,omitempty"`
}

// Facts are what Examine may know of a machine.
type Facts struct {
	Platform Platform
	// UID and User are whose daemons it is about.
	UID  int
	User string
	// Init is the name of the first process, Systemd whether that is systemd, as sd_booted(3) has it, and SystemdVersion which, where it said so.
	Init           string
	Systemd        bool
	SystemdVersion string
	// Lingers says that the user's service manager runs without a session of theirs.
	Lingers bool
	Journal Journal
	Cgroup  Cgroup
	// Grub says that the boot loader's settings are in /etc/default/grub.
	Grub    bool
	Drivers []Driver
	Limits  Limits
	Dirs    []Dir
	Clock   Clock
	// GPU are the tools by which a GPU can be looked at.
	GPU []string
	// Mistakes are what is wrong with the manifests; Daemons are those that they declare, where nothing is.
	Mistakes []string
	Daemons  []Daemon
}

// Platform is what kind of machine it is.
type Platform struct{ OS, Arch, Kernel, Distribution string }

// Journal is where systemd-journald keeps what daemons write to it; both are false where that can't be told.
type Journal struct {
	// OnDisk says that it is kept on the disk, where each user has one of their own, InMemory that it is one for all, gone with a reboot.
	OnDisk, InMemory bool
	// Readable says that this user may read that of all.
	Readable bool
}

// Cgroup is the hierarchy of cgroup v2 as this process sees it.
type Cgroup struct {
	// Mount is where it is mounted, empty for nowhere.
	Mount string
	// V1 are the controllers that cgroup v1 has.
	V1 []string
	// Root are the controllers at the mount's root; Group is the group that the user's daemons are below, and Has are its controllers.
	Root  []string
	Group string
	Has   []string
}

// Driver is a way of running daemons. One that isn't Usable has a Reason, and a Mend where there is a command.
type Driver struct {
	Kind   string
	Usable bool
	Chosen bool // for daemons that leave the choice to us
	Reason string
	Mend   string
}

// Limits are what the chosen driver says of the limits that a manifest may ask for.
type Limits struct {
	Enforced []string
	// Lost are the others, with the reason.
	Lost []Loss
}

// Loss is a field that isn't honoured.
type Loss struct{ Field, Reason string }

// Dir is a directory that reconciler writes to, or the nearest above it that is there.
type Dir struct {
	Name, Path string
	// Err says why it can't be written to.
	Err string
	// ReadOnly and NoExec are how the file system is mounted.
	ReadOnly, NoExec bool
	// Free and Size are bytes, FreeFiles and Files are inodes; a file system that makes inodes as they are needed has none.
	Free, Size, FreeFiles, Files uint64
}

// Clock is what is known of the wall clock.
type Clock struct {
	Now time.Time
	// Known says that the kernel told whether something keeps it right, Synchronised what it told; see adjtimex(2).
	Known, Synchronised bool
	// Written is when reconciler wrote last, by the clock of that time; zero where it never did.
	Written time.Time
}

// Daemon is one that a manifest declares.
type Daemon struct {
	Name, Source string
	// User is who it shall run as, where the manifest says so, and UserErr why that can't be.
	User, UserErr string
	// Refused says why the chosen driver can't start it, and Lost what it can't enforce.
	Refused string
	Lost    []Loss
	Ports   []Port
}

// Port is an address that a daemon is to answer on.
type Port struct {
	// Field is where the manifest says so.
	Field, Address string
	// HeldBy is another program that has it now; empty where it is free, or the daemon's own.
	HeldBy string
}

// Examine says what there is to say about a machine, in the order in which a person wants to read it.
func Examine(f Facts) []Finding {
	found := []Finding{platform(f), initSystem(f)}
	for _, d := range f.Drivers {
		found = append(found, driver(f, d))
	}
	if f.Systemd && f.UID != 0 {
		found = append(found, linger(f))
		if f.Journal.OnDisk || f.Journal.InMemory {
			found = append(found, journal(f))
		}
	}
	if f.Platform.OS == "linux" {
		found = append(found, hierarchy(f))
		if f.Cgroup.Mount != "" && len(onV1(f)) == 0 {
			found = append(found, controllers(f))
		}
		found = append(found, limits(f)...)
	}
	for _, d := range f.Dirs {
		found = append(found, directory(d))
	}
	found = append(found, clock(f), gpu(f))
	for _, m := range f.Mistakes {
		found = append(found, Finding{Check: "manifests", Status: Fail, Found: m, Lost: "nothing of them is applied"})
	}
	for _, d := range f.Daemons {
		found = append(found, daemon(d)...)
	}
	return found
}

// Worst is the worst status of all.
func Worst(found []Finding) Status {
	for _, s := range []Status{Fail, Warn} {
		if slices.ContainsFunc(found, func(f Finding) bool { return f.Status == s }) {
			return s
		}
	}
	return OK
}
