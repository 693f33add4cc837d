package doctor

import (
	"fmt"
	"strings"
	"time"
)

// What is too little of a file system.
const (
	fewBytes   = 200 << 20
	noBytes    = 10 << 20
	fewPercent = 2
)

func directory(d Dir) Finding {
	found := Finding{Check: d.Name, Status: OK, Found: d.Path}
	if d.Size > 0 {
		found.Found += fmt.Sprintf(", %s free of %s", size(d.Free), size(d.Size))
	}
	if d.NoExec {
		found.Found += ", noexec"
	}
	switch {
	case d.ReadOnly:
		found.Status, found.Found = Fail, d.Path+" is on a file system that is mounted read-only"
		found.Lost, found.Mend = "nothing can be remembered", `as root: mount -o remount,rw "$(findmnt -no TARGET -T `+shellWord(d.Path)+`)"`
	case d.Err != "":
		found.Status, found.Found = Fail, d.Path+" can't be written to: "+d.Err
		found.Lost, found.Mend = "nothing can be remembered", "give --state-dir, or RECONCILER_STATE_DIR"
	case d.Size > 0 && d.Free < noBytes, d.Files > 0 && d.FreeFiles == 0:
		found.Status, found.Lost = Fail, "daemons can't be changed, nor their logs written"
	case d.Size > 0 && d.Free < fewBytes && d.Free*100/d.Size < fewPercent:
		found.Status, found.Lost = Warn, "logs may soon have no room"
	case d.Files > 0 && d.FreeFiles*100/d.Files < fewPercent:
		found.Status, found.Lost = Warn, "files may soon have no room"
		found.Found += fmt.Sprintf(", %d of %d inodes free", d.FreeFiles, d.Files)
	}
	if found.Status != OK && found.Mend == "" {
		found.Mend = "make room; the largest are shown by: du -xh " + shellWord(d.Path) + " | sort -h | tail"
	}
	return found
}

func size(b uint64) string {
	units := []string{"B", "K", "M", "G", "T", "P", "E"}
	f, i := float64(b), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + units[i]
}

// backward is how far in the future a file may be that was written before: clocks are set right by little.
const backward = time.Minute

func clock(f Facts) Finding {
	c, mend := f.Clock, "as root: apt-get install -y chrony"
	if f.Systemd {
		mend = "as root: timedatectl set-ntp true || apt-get install -y systemd-timesyncd"
	}
	found := Finding{Check: "clock", Status: OK, Found: "synchronised"}
	switch {
	case c.Written.Sub(c.Now) > backward:
		found.Status, found.Lost = Warn, "ages and the order of events are wrong; restarts and health checks go by another clock, and are right"
		found.Found = fmt.Sprintf("it says %s, and reconciler wrote last at %s: it was set back, or isn't set yet", c.Now.Format(time.DateTime), c.Written.Format(time.DateTime))
		found.Mend = mend
	case !c.Known:
		found.Found = "whether something keeps it right can't be told"
	case !c.Synchronised:
		found.Status, found.Found = Warn, "nothing keeps it right"
		found.Lost, found.Mend = "times in events and logs may be wrong", mend
	}
	return found
}

func daemon(d Daemon) (all []Finding) {
	name := "daemon/" + d.Name
	if d.UserErr != "" {
		f := Finding{Check: name, Status: Fail, Found: fmt.Sprintf("spec.user %s (%s): %s", d.User, d.Source, d.UserErr), Lost: "it can't be started"}
		if d.User != "" {
			f.Mend = "as root: useradd --system " + shellWord(d.User)
		}
		all = append(all, f)
	}
	if d.Refused != "" && d.UserErr == "" {
		all = append(all, Finding{Check: name, Status: Fail, Found: d.Refused, Lost: "it can't be started"})
	}
	if len(all) > 0 {
		d.Lost = nil // it isn't started with less either
	}
	for _, l := range d.Lost {
		all = append(all, Finding{Check: name, Status: Warn, Found: l.Field + ": " + l.Reason, Lost: l.Field + " isn't enforced"})
	}
	for _, p := range d.Ports {
		if p.HeldBy != "" {
			all = append(all, Finding{
				Check: name, Status: Fail, Found: fmt.Sprintf("%s (%s) is held by %s", p.Address, p.Field, p.HeldBy), Lost: "it can't listen there, and its health check fails",
				Mend: "end that program, or give one of them another port",
			})
		}
	}
	if len(all) == 0 {
		return []Finding{{Check: name, Status: OK, Found: "nothing stands in its way"}}
	}
	return all
}

// shellWord quotes a word for sh(1).
func shellWord(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
