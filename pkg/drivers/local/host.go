// Package local is this machine as a drivers.Host: the drivers it has, health checks made from here, contents kept by digest, and what is remembered of daemons
// beside their stamps: conditions, events, history, and who keeps which owner set.
//
// It must never run a daemon itself, nor decide anything about one.
package local

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"reconciler.dev/reconciler/internal/binstore"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Host is this machine. Its methods may be called concurrently.
type Host struct {
	name    string
	dirs    layout.Dirs
	drivers []drivers.Driver // those that auto chooses from, and the others after them
	chosen  int              // how many auto chooses from
	bare    []drivers.Driver // the same, without what is added to each
	order   []spec.DriverKind
	lacks   []*drivers.Unavailable
	http    *http.Client
	spawner func() (*spawn.Spawner, error)
	events  *eventLog
	sampler *sampler
	gpus    *gpus
	// programs are kept by their content.
	programs *binstore.Store

	mu       sync.Mutex
	releases map[int]func() // of the set locks that are held
	taken    int
	// answered has, by daemon, the instance of which it is settled who answers on its port.
	answered map[string]string
}

var _ drivers.Host = (*Host)(nil)

// New returns this machine with the drivers that it has, the best first. What all drivers share, config files and pauses, is added to them here. dirs is where
// everything is kept; what is missing of it is made when it is needed.
func New(dirs layout.Dirs, ds ...drivers.Driver) *Host {
	h := &Host{name: "localhost", dirs: dirs, http: probeClient(), spawner: sync.OnceValues(spawn.New), events: newEventLog(dirs.State), sampler: newSampler(), releases: map[int]func(){}, answered: map[string]string{}}
	h.programs = binstore.New(dirs)
	h.gpus = &gpus{machine: gpuMachine(h.spawner)}
	h.Besides(ds...)
	h.chosen = len(ds)
	return h
}

// Besides adds drivers that auto doesn't choose, and that look after the daemons they have. Call it before the host is used.
func (h *Host) Besides(ds ...drivers.Driver) {
	for _, d := range ds {
		h.bare = append(h.bare, d)
		h.drivers = append(h.drivers, drivers.Decorate(&exclusive{Driver: d, host: h}, h.dirs))
	}
}

// Name is localhost, or what Called said.
func (h *Host) Name() string { return h.name }

// Called sets how messages call this machine, for those who work on it from another one. Call it before the host is used.
func (h *Host) Called(name string) { h.name = name }

// Drivers returns the drivers of this machine, the best first, those of Besides last.
func (h *Host) Drivers() []drivers.Driver { return h.drivers }

// Lacks sets what Unavailable returns, and the order in which auto prefers drivers, those that the machine has and those that it lacks. Call it before the host is used.
func (h *Host) Lacks(order []spec.DriverKind, u ...*drivers.Unavailable) { h.order, h.lacks = order, u }

// Unavailable returns what Lacks was told.
func (h *Host) Unavailable() []*drivers.Unavailable { return h.lacks }

// Fallback returns of what Lacks was told what auto prefers to kind.
func (h *Host) Fallback(kind spec.DriverKind) (missed []*drivers.Unavailable) {
	at := slices.Index(h.order, kind)
	for _, u := range h.lacks {
		if i := slices.Index(h.order, u.Kind); i >= 0 && (i < at || at < 0) {
			missed = append(missed, u)
		}
	}
	return missed
}

// Driver returns the driver of that kind.
func (h *Host) Driver(kind spec.DriverKind) (drivers.Driver, error) {
	var have []string
	for i, d := range h.drivers {
		if kind == d.Kind() || (kind == spec.DriverAuto || kind == "") && i < h.chosen {
			return d, nil
		}
		have = append(have, string(d.Kind()))
	}
	if kind == spec.DriverAuto || kind == "" || len(have) == 0 {
		return nil, fmt.Errorf("%s has no driver that could run a daemon%s: %w", h.Name(), h.reasons(), drivers.ErrUnsupported)
	}
	return nil, fmt.Errorf("driver %s isn't available on %s (%s), which has %s; leave spec.driver out, or say auto, for the best there is: %w",
		kind, h.Name(), h.whyNot(kind), strings.Join(have, ", "), drivers.ErrUnsupported)
}

// reasons says why each of the drivers that it lacks isn't there.
func (h *Host) reasons() string {
	var b strings.Builder
	for _, u := range h.lacks {
		b.WriteString("; " + u.Error())
	}
	return b.String()
}

// whyNot says why a host that doesn't have a driver doesn't.
func (h *Host) whyNot(kind spec.DriverKind) string {
	for _, u := range h.lacks {
		if u.Kind == kind {
			return u.Error()
		}
	}
	switch needs := map[spec.DriverKind]string{
		spec.DriverLaunchd: "darwin", spec.DriverJob: "windows", spec.DriverSystemd: "linux", spec.DriverCgroup: "linux", spec.DriverProcess: "linux",
	}[kind]; needs {
	case "":
		return "there is no such driver"
	case runtime.GOOS:
		return "this version of reconciler is without it"
	default:
		return fmt.Sprintf("it needs %s, and this is %s", needs, runtime.GOOS)
	}
}

// Close frees the set locks that are still held, and writes events that wait.
func (h *Host) Close() error {
	h.sampler.restNow()
	h.events.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, release := range h.releases {
		release()
	}
	clear(h.releases)
	h.http.CloseIdleConnections()
	return nil
}
