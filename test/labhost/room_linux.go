package labhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/flock"
)

// room is the budget of hosts with systemd that all test programs of a machine share, each of which knows nothing of the others: packages are tested side by side. What there is
// too little of are inotify instances, see inotify(7): each host takes about ten of the 128 that root has by default, and so do daemons and runs that are tested there.
//
// It is so many files, of which a host locks one. The kernel frees the lock when its holder ends, however that ends, so nothing is ever stale.
type room struct {
	dir   string
	slots int
	// patience is how long to wait for room, tellAfter how long before it is told.
	patience, tellAfter time.Duration
	tell                func(line string)
}

const (
	roomDir          = "/run/lock/labhost"
	instancesPerHost = 16
)

// machineRoom is that of this machine.
func machineRoom() (room, error) {
	if err := os.MkdirAll(roomDir, 0o700); err != nil {
		return room{}, fmt.Errorf("find room for hosts: %w", err)
	}
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		return room{}, fmt.Errorf("find room for hosts: %w", err)
	}
	instances, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return room{}, fmt.Errorf("find room for hosts: %w", err)
	}
	return room{
		dir: roomDir, slots: max(instances/instancesPerHost, 1), patience: 5 * time.Minute, tellAfter: 10 * time.Second,
		tell: func(line string) { fmt.Fprintln(os.Stderr, "labhost:", line) },
	}, nil
}

// take waits until there is room for n hosts and takes it, all or nothing: those who want many come one after the other, through a door, and whoever holds some and waits
// for none has them free in the end. More than there are slots take all.
func (r room) take(ctx context.Context, n int) ([]*flock.Held, error) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	telling := time.AfterFunc(r.tellAfter, func() { r.tell(fmt.Sprintf("waits for room for %d hosts; %s", n, r.holders())) })
	defer telling.Stop()
	door, err := flock.Lock(ctx, filepath.Join(r.dir, "door"))
	if err == nil {
		defer door.Release()
		var taken []*flock.Held
		if taken, err = r.collect(ctx, min(n, r.slots)); err == nil {
			return taken, nil
		}
	}
	return nil, fmt.Errorf("wait for room for %d hosts: %w; %s; a test that has hosts and waits for more may wait for itself: start all of them at once", n, err, r.holders())
}

// collect takes slots as they come free, until it has n.
func (r room) collect(ctx context.Context, n int) (taken []*flock.Held, err error) {
	for {
		for i := 0; i < r.slots && len(taken) < n && err == nil; i++ {
			var slot *flock.Held
			if slot, err = flock.TryLock(r.slot(i)); err == nil {
				taken, err = append(taken, slot), slot.SetInfo(fmt.Appendf(nil, "%s, process %d", filepath.Base(os.Args[0]), os.Getpid()))
			} else if errors.Is(err, flock.ErrHeld) {
				err = nil
			}
		}
		if err == nil && len(taken) == n {
			return taken, nil
		}
		if err == nil {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
		if err != nil {
			for _, slot := range taken {
				slot.Release()
			}
			return nil, err
		}
	}
}

func (r room) slot(i int) string { return filepath.Join(r.dir, fmt.Sprintf("slot-%02d", i)) }

// holders says who has how much of it.
func (r room) holders() string {
	have := map[string]int{}
	for i := range r.slots {
		if who, held, err := flock.Info(r.slot(i)); err == nil && held {
			have[string(who)]++
		}
	}
	var said strings.Builder
	fmt.Fprintf(&said, "this machine has room for %d", r.slots)
	for _, who := range slices.Sorted(maps.Keys(have)) {
		fmt.Fprintf(&said, ", of which %s has %d", who, have[who])
	}
	return said.String()
}
