package systemd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/pkg/drivers"
)

// A socket of a daemon is a unit of its own, so that a changed list opens and closes what changed and nothing else. systemd only holds it: what it would start when somebody connects
// (Service=) is a unit that does nothing, and the daemon's names the sockets that it is given (Sockets=). Were it the daemon that is started, then whoever connects would end a stop, a
// pause or the wait before a restart; and an active socket would keep the daemon's unit loaded, so that each change of that would cost a daemon-reload.

// SocketUnit is the unit of one socket.
type SocketUnit struct {
	// Name is the unit's: the daemon's, and what tells its addresses apart.
	Name string
	// Socket is what it listens on.
	Socket sockets.Socket
	// Text is the whole file.
	Text []byte
}

// waitUnit is the template of the units that are started when somebody connects and no daemon has the socket. They do nothing, and are stopped before the socket is opened anew.
const waitUnit = "reconciler-listen@.service"

// waiting is the one of these that belongs to a socket.
func waiting(socket string) string {
	return strings.Replace(waitUnit, "@", "@"+strings.TrimSuffix(socket, ".socket"), 1)
}

// waitText is the file of the template. A service that stays active needs no command, but an ExecStop=; '-' says that it matters to nobody whether there is such a program.
func waitText() []byte {
	var w writer
	w.line("# Written by reconciler. Edits of this file are undone.\n")
	w.section("Unit")
	w.set("Description", "Connections to %i wait for its daemon (reconciler)")
	w.set("DefaultDependencies", "no")
	w.section("Service")
	w.set("Type", "oneshot")
	w.set("RemainAfterExit", "yes")
	w.set("ExecStop", "-/bin/true")
	return sealPart([]byte(w.text.String()), "")
}

// PartSection is where it stands whom a unit that isn't a daemon's own belongs to. systemd ignores it, as it does Section.
const PartSection = "[X-Reconciler-Part]"

const keyDaemon = "Daemon="

// sealPart appends the section that says whose a unit is.
func sealPart(settings []byte, daemon string) []byte {
	return fmt.Appendf(bytes.Clone(settings), "\n%s\n%s%s\n%s%s\n", PartSection, keyDigest, digest(settings), keyDaemon, daemon)
}

// ParsePart returns the daemon that a unit is part of. ours is false for what somebody else wrote, and intact for what somebody edited since.
func ParsePart(text []byte) (daemon string, ours, intact bool) {
	i := bytes.LastIndex(text, []byte("\n"+PartSection+"\n"))
	if i < 0 {
		return "", false, false
	}
	for line := range strings.Lines(string(text[i+len(PartSection)+2:])) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, keyDaemon); ok {
			daemon = name
		}
		if sum, ok := strings.CutPrefix(line, keyDigest); ok {
			intact = sum == digest(text[:i])
		}
	}
	return daemon, true, intact
}

// socketUnit is the name of the unit of a daemon's socket. Instances of one daemon share it.
func socketUnit(name string, s sockets.Socket) string {
	sum := sha256.Sum256([]byte(s.String()))
	return sockets.Family(name) + "-" + hex.EncodeToString(sum[:4]) + ".socket"
}

// sockets renders the units of the sockets, and says in the daemon's that it has them.
func (r *renderer) sockets() {
	if len(r.d.Spec.Listen) == 0 {
		return
	}
	all, err := drivers.Sockets(&r.d.Spec, r.account)
	if err != nil {
		r.problems = append(r.problems, err)
		return
	}
	for i, s := range all {
		if !plain(s.Address) || controls(s.Address) || strings.HasSuffix(whole(s.Address), "/.") {
			r.refuse(fmt.Sprintf("spec.listen[%d]", i), "%q has control characters in it, ends in white space or a backslash, or is not UTF-8, and systemd can't be told of it", s)
			continue
		}
		r.unit.Sockets = append(r.unit.Sockets, r.socket(s))
	}
}

// socketNames are the units of the sockets, in one line.
func (r *renderer) socketNames() string {
	names := make([]string, len(r.unit.Sockets))
	for i, s := range r.unit.Sockets {
		names[i] = s.Name
	}
	return strings.Join(names, " ")
}

// socket renders the unit of a socket: see systemd.socket(5). It is opened when the daemon is started, at boot too: network-online.target comes before both.
func (r *renderer) socket(s sockets.Socket) SocketUnit {
	family := sockets.Family(r.d.Name)
	u := SocketUnit{Name: socketUnit(r.d.Name, s), Socket: s}
	var w writer
	fmt.Fprintf(&w.text, "# Written by reconciler for the daemon %s. Change its manifest and apply that: edits of this file are undone.\n", family)
	w.section("Unit")
	w.set("Description", strings.ReplaceAll(s.String(), "%", "%%")+" of "+family+" (reconciler)")
	w.set("DefaultDependencies", "no")
	if !r.facts.User {
		w.set("After", "sysinit.target network.target network-online.target remote-fs.target")
	}
	w.set("Conflicts", "shutdown.target")
	w.set("Before", "shutdown.target")
	w.section("Socket")
	w.set("ListenStream", strings.TrimPrefix(whole(s.Address), ":"))
	w.set("Service", waiting(u.Name))
	w.set("FileDescriptorName", strings.ReplaceAll(s.Name(), "%", "%%"))
	w.set("Backlog", "65536")
	w.set("TriggerLimitIntervalSec", "0")
	if s.Network == "tcp" {
		w.set("BindIPv6Only", "both")
	} else {
		r.socketFile(&w, s)
	}
	u.Text = sealPart([]byte(w.text.String()), family)
	return u
}

// socketFile says whose the file of a socket is. systemd needs another process to give it away, so it does that only where it must.
func (r *renderer) socketFile(w *writer, s sockets.Socket) {
	w.set("SocketMode", fmt.Sprintf("%04o", s.Mode))
	w.set("RemoveOnStop", "yes")
	if !r.facts.User && (s.UID != 0 || s.GID != 0) {
		w.set("SocketUser", fmt.Sprint(s.UID))
		w.set("SocketGroup", fmt.Sprint(s.GID))
	}
}
