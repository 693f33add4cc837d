package labhost

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/flock"
)

// patience is how long a host may take to boot or to go down. It takes less than a second; a machine with much else to do may take longer.
const patience = time.Minute

// Host is a host that runs. Its methods may be called from any goroutine, except for those that end a boot: Reboot, PowerCycle.
type Host struct {
	// Kind is what was asked for.
	Kind Kind
	// Name is its host name.
	Name string
	// Addr is its IP address in the lab's network: see Dial.
	Addr string

	lab   *Lab
	slot  *flock.Held // of the machine's room; nil where it takes none
	spec  bootSpec
	boots int
	boot  *boot
	log   Output
}

// Bind is a file or directory of the machine that a host has, read-only, at another path or the same.
type Bind struct{ From, To string }

// Start boots a host and returns when it has booted. See StartAll for the room that it takes.
func (l *Lab) Start(ctx context.Context, kind Kind, binds ...Bind) (*Host, error) {
	hosts, err := l.StartAll(ctx, 1, kind, binds...)
	if err != nil {
		return nil, err
	}
	return hosts[0], nil
}

// StartAll boots n hosts side by side and returns when all have booted, or none runs. Where systemd boots them it waits, for some minutes at most, until the machine has room for all
// of them beside those of other programs. Whoever has hosts and wants more at the same time asks for all at once.
func (l *Lab) StartAll(ctx context.Context, n int, kind Kind, binds ...Bind) ([]*Host, error) {
	if kind.machine() {
		return nil, fmt.Errorf("start a %s host: it has no network by which it could be reached: use Test", kind)
	}
	var slots []*flock.Held
	if kind.systemd() {
		r, err := machineRoom()
		if err == nil {
			slots, err = r.take(ctx, n)
		}
		if err != nil {
			return nil, fmt.Errorf("start a %s host: %w", kind, err)
		}
	}
	hosts, errs := make([]*Host, n), make([]error, n)
	var booted sync.WaitGroup
	for i := range n {
		var slot *flock.Held
		if i < len(slots) {
			slot = slots[i]
		}
		booted.Go(func() { hosts[i], errs[i] = l.startIn(ctx, slot, kind, binds) })
	}
	booted.Wait()
	err := errors.Join(errs...)
	if err == nil {
		return hosts, nil
	}
	for _, h := range hosts {
		if h != nil {
			err = errors.Join(err, h.Close())
		}
	}
	return nil, err
}

// startIn boots a host that has that slot of the machine's room.
func (l *Lab) startIn(ctx context.Context, slot *flock.Held, kind Kind, binds []Bind) (*Host, error) {
	h, err := l.newHost(ctx, kind, binds)
	if err != nil {
		if slot != nil {
			slot.Release()
		}
		return nil, fmt.Errorf("start a %s host: %w", kind, err)
	}
	h.slot = slot
	if err := h.powerOn(ctx); err != nil {
		return nil, fmt.Errorf("start a %s host: %w", kind, errors.Join(err, h.Close()))
	}
	return h, nil
}

func (l *Lab) newHost(ctx context.Context, kind Kind, binds []Bind) (*Host, error) {
	root := "/"
	if kind.systemd() {
		var err error
		if root, err = rootfs(ctx, kind.release()); err != nil {
			return nil, err
		}
	}
	n, err := l.take()
	if err != nil {
		return nil, err
	}
	h := &Host{Kind: kind, Name: fmt.Sprintf("h%d", n), Addr: address(n), lab: l}
	h.spec = bootSpec{
		Kind: kind, Name: h.Name, Number: n, Addr: h.Addr, Root: root, Disk: filepath.Join(labDir, h.Name), MachineID: randomHex(), Binds: binds,
	}
	return h, os.Mkdir(l.path(h.spec.Disk), 0o755)
}

// address is that of a host.
func address(number int) string { return fmt.Sprintf("10.77.0.%d", number+1) }

// powerOn boots the host and waits until it has booted.
func (h *Host) powerOn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b, err := h.bootOnce(ctx)
	for errors.Is(err, errCrowded) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			b, err = h.bootOnce(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("boot %s: %w\n%s", h.Name, err, h.story(context.WithoutCancel(ctx)))
	}
	h.boot = b
	if h.Kind.alice() {
		if out, err := h.Command(ctx, "systemctl", "start", "user@1000.service").CombinedOutput(); err != nil {
			return fmt.Errorf("start the user manager of alice: %w: %s", err, out)
		}
	}
	return nil
}

// bootOnce boots the host, and doesn't try again.
func (h *Host) bootOnce(ctx context.Context) (*boot, error) {
	h.boots++
	s := h.spec
	s.BootID = randomUUID()
	// The cgroup of the last boot may have controllers enabled, and then lets no process in.
	s.Cgroup = filepath.Join(h.lab.cgroup, fmt.Sprintf("%s-%d", h.Name, h.boots))
	return h.lab.boot(ctx, s, &h.log)
}

// PowerCycle cuts the host's power and boots it again. What it had written to its disk is there, /run and /tmp are new.
func (h *Host) PowerCycle(ctx context.Context) error {
	if err := h.boot.end(); err != nil {
		return err
	}
	return h.powerOn(ctx)
}

// Reboot asks the host to reboot, as systemctl(1) does, and waits until it has.
func (h *Host) Reboot(ctx context.Context) error {
	if !h.Kind.systemd() {
		return fmt.Errorf("reboot %s: nothing there shuts a host down in order: use PowerCycle", h.Name)
	}
	out, askErr := h.Command(ctx, "systemctl", "reboot").CombinedOutput() // an error may be that of a bus that is gone
	how, err := h.boot.wait(ctx)
	if err != nil {
		return fmt.Errorf("reboot %s: %w: %s", h.Name, errors.Join(err, askErr), out)
	}
	if how != "signal: hangup" { // reboot(2): how process 1 of a PID namespace tells
		return fmt.Errorf("reboot %s: it ended with %s", h.Name, how)
	}
	if err := h.boot.end(); err != nil {
		return err
	}
	return h.powerOn(ctx)
}

// Close cuts the power for good and removes what the host had. A lab that is closed closes its hosts.
func (h *Host) Close() error {
	if h.boot != nil {
		if err := h.boot.end(); err != nil {
			return err
		}
	}
	if h.slot != nil {
		h.slot.Release()
	}
	if err := h.removeDisk(); err != nil {
		return err
	}
	h.lab.giveBack(h.spec.Number) // last: the next host of that number makes its disk there
	return nil
}

// story is what there is to tell of a host that didn't do as it should: what was said while it booted, and its journal's end.
func (h *Host) story(ctx context.Context) string {
	console, err := os.ReadFile(h.lab.path(filepath.Join(h.spec.Disk, "console")))
	if err != nil {
		console = []byte(err.Error())
	}
	story := h.log.String() + string(console)
	if h.Kind.systemd() && h.boot != nil && !h.boot.over() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		journal, err := h.Command(ctx, "journalctl", "--no-pager", "--boot", "--lines=60", "--output=short-precise").CombinedOutput()
		story += string(journal)
		if err != nil {
			story += err.Error()
		}
	}
	return story
}

func randomHex() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func randomUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
