package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

func platform(f Facts) Finding {
	p := f.Platform
	found := Finding{Check: "platform", Status: OK, Found: strings.Join(slices.DeleteFunc([]string{p.Distribution, strings.TrimSpace(p.OS + " " + p.Kernel), p.Arch}, func(s string) bool { return s == "" }), ", ")}
	if p.OS != "linux" {
		found.Status, found.Lost = Fail, "this version runs daemons on Linux only"
	}
	return found
}

func initSystem(f Facts) Finding {
	switch {
	case f.Systemd:
		return Finding{Check: "init", Status: OK, Found: strings.TrimSpace("systemd " + f.SystemdVersion)}
	case f.Init == "":
		return Finding{Check: "init", Status: OK, Found: "not systemd"}
	}
	return Finding{Check: "init", Status: OK, Found: f.Init + ", not systemd"}
}

// driver is worth a warning only where it is better than the one that is chosen.
func driver(f Facts, d Driver) Finding {
	found := Finding{Check: "driver " + d.Kind, Status: OK}
	chosen := slices.IndexFunc(f.Drivers, func(o Driver) bool { return o.Chosen })
	me := slices.IndexFunc(f.Drivers, func(o Driver) bool { return o.Kind == d.Kind })
	switch {
	case d.Chosen:
		found.Found = "usable, and what auto means here"
	case d.Usable:
		found.Found = "usable"
	case chosen >= 0 && chosen < me:
		found.Found = "not usable, and not needed: " + d.Reason
	default:
		found.Status, found.Found, found.Lost, found.Mend = Warn, d.Reason, lostWithout(d.Kind), d.Mend
		if chosen < 0 {
			found.Status = Fail
		}
	}
	return found
}

// lostWithout is what a machine can't do that lacks a driver.
func lostWithout(kind string) string {
	switch kind {
	case "systemd":
		return "daemons are restarted after a crash, and started at boot, only while a reconciler run is (see reconciler install-service); sandboxes"
	case "cgroup":
		return "limits; that a daemon's whole tree is killed at a stroke"
	}
	return "daemons can't be started"
}

func linger(f Facts) Finding {
	if f.Lingers {
		return Finding{Check: "linger", Status: OK, Found: "the service manager of " + f.User + " runs from boot on"}
	}
	return Finding{
		Check: "linger", Status: Warn, Found: f.User + " doesn't linger", Lost: "daemons end with your last session, and aren't started at boot",
		Mend: "as root: loginctl enable-linger " + f.User,
	}
}

// journal is for users: journald.conf(5), Storage= and SplitMode=.
func journal(f Facts) Finding {
	switch {
	case f.Journal.OnDisk:
		return Finding{Check: "journal", Status: OK, Found: "on the disk, with one of " + f.User}
	case f.Journal.Readable:
		return Finding{Check: "journal", Status: OK, Found: "in memory alone, and " + f.User + " may read it"}
	}
	return Finding{
		Check: "journal", Status: Warn, Found: "in memory alone, where it is one for all that " + f.User + " may not read", Lost: "reconciler logs of daemons that write to the journal",
		Mend: "as root: mkdir -p /var/log/journal && journalctl --flush",
	}
}

func hierarchy(f Facts) Finding {
	c := f.Cgroup
	found := Finding{Check: "cgroup", Status: OK, Found: "v2 at " + c.Mount}
	switch {
	case c.Mount == "" && len(c.V1) > 0:
		found.Status, found.Found, found.Lost = Warn, "only v1 is mounted", "limits"
		found.Mend = "as root: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
	case c.Mount == "":
		found.Status, found.Found, found.Lost = Warn, "none is mounted", "limits"
		found.Mend = "as root: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
	case len(onV1(f)) > 0:
		found.Status, found.Found = Warn, "v2 at "+c.Mount+"; v1 has "+strings.Join(onV1(f), ", ")
		found.Lost, found.Mend = "limits by "+strings.Join(onV1(f), ", "), kernelWords(f)
	}
	return found
}

// needed are the controllers behind the limits of a manifest.
func needed() []string { return []string{"cpu", "io", "memory", "pids"} }

// onV1 are the needed controllers that cgroup v1 keeps.
func onV1(f Facts) (kept []string) {
	for _, n := range needed() {
		if slices.Contains(f.Cgroup.V1, n) || n == "io" && slices.Contains(f.Cgroup.V1, "blkio") {
			kept = append(kept, n)
		}
	}
	return kept
}

// kernelWords is how a machine is booted with all controllers on v2; see systemd(1) and Documentation/admin-guide/kernel-parameters.txt.
func kernelWords(f Facts) string {
	word := "cgroup_no_v1=all"
	if f.Systemd {
		word = "systemd.unified_cgroup_hierarchy=1"
	}
	if !f.Grub {
		return "boot the kernel with " + word
	}
	return fmt.Sprintf(`as root: sed -i 's/^GRUB_CMDLINE_LINUX="/&%s /' /etc/default/grub && update-grub && reboot`, word)
}

// delegate gives all users' managers all controllers, and has this user's look for them, which leaves what it runs running: RTMIN+25 is its daemon-reexec. See
// https://systemd.io/CGROUP_DELEGATION and systemd(1), SIGNALS.
func delegate(uid int) string {
	return fmt.Sprintf(`as root: mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\nDelegate=cpu cpuset io memory pids\n' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload && systemctl kill --kill-who=main --signal=RTMIN+25 user@%d.service`, uid)
}

func controllers(f Facts) Finding {
	c := f.Cgroup
	missing := slices.DeleteFunc(needed(), func(n string) bool { return slices.Contains(c.Has, n) })
	found := Finding{Check: "controllers", Status: OK, Found: fmt.Sprintf("%s has %s", cmp.Or(c.Group, "the group of your daemons"), strings.Join(needed(), ", "))}
	if len(missing) == 0 {
		return found
	}
	found.Status, found.Lost = Warn, "limits by "+strings.Join(missing, ", ")
	found.Found = fmt.Sprintf("%s lacks %s", cmp.Or(c.Group, "the group of your daemons"), strings.Join(missing, ", "))
	there := slices.ContainsFunc(missing, func(n string) bool { return slices.Contains(c.Root, n) })
	if f.Systemd && f.UID != 0 && there {
		found.Mend = delegate(f.UID)
	}
	return found
}

// limits are one finding for those that are enforced, and one for each reason why others aren't.
func limits(f Facts) (found []Finding) {
	if len(f.Limits.Enforced) > 0 {
		found = append(found, Finding{Check: "limits", Status: OK, Found: strings.Join(f.Limits.Enforced, ", ")})
	}
	by := map[string]int{}
	for _, l := range f.Limits.Lost {
		i, told := by[l.Reason]
		if !told {
			by[l.Reason] = len(found)
			found = append(found, Finding{Check: "limits", Status: Warn, Found: l.Reason, Lost: l.Field})
			continue
		}
		found[i].Lost += ", " + l.Field
	}
	return found
}

func gpu(f Facts) Finding {
	if len(f.GPU) == 0 {
		return Finding{Check: "gpu", Status: OK, Found: "no tool to look at one (nvidia-smi, rocm-smi)"}
	}
	return Finding{Check: "gpu", Status: OK, Found: strings.Join(f.GPU, ", ")}
}
