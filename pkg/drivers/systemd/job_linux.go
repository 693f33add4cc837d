package systemd

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/godbus/dbus/v5"
)

// facts are what the manager says of a unit: properties of org.freedesktop.systemd1.Unit and .Service. What it hasn't said is zero.
type facts struct {
	Load, Active, Sub string
	Invocation        string
	// MainPID is 0 once it has ended, ExecPID is not.
	MainPID, ExecPID int
	Restarts         int
	// Result is how the service ended: success, exit-code, signal, core-dump, timeout, oom-kill, resources, protocol, ...
	Result string
	// Code is one of the CLD_ constants of sigaction(2), 0 while the main process lives; Status is the exit status or the signal then.
	Code, Status int
	// Began and Ended are those of the main process; EndedAt is by a clock that nobody sets and that stands still while the machine sleeps.
	Began, Ended time.Time
	NeedReload   bool
	Fragment     string
}

// set takes over one property.
func (f *facts) set(name string, v dbus.Variant) {
	switch name {
	case "LoadState":
		f.Load, _ = v.Value().(string)
	case "ActiveState":
		f.Active, _ = v.Value().(string)
	case "SubState":
		f.Sub, _ = v.Value().(string)
	case "InvocationID":
		id, _ := v.Value().([]byte)
		f.Invocation = hex.EncodeToString(id)
	case "MainPID":
		n, _ := v.Value().(uint32)
		f.MainPID = int(n)
	case "ExecMainPID":
		n, _ := v.Value().(uint32)
		f.ExecPID = int(n)
	case "NRestarts":
		n, _ := v.Value().(uint32)
		f.Restarts = int(n)
	case "Result":
		f.Result, _ = v.Value().(string)
	case "ExecMainCode":
		n, _ := v.Value().(int32)
		f.Code = int(n)
	case "ExecMainStatus":
		n, _ := v.Value().(int32)
		f.Status = int(n)
	case "ExecMainStartTimestamp":
		f.Began = stamped(v)
	case "ExecMainExitTimestamp":
		f.Ended = stamped(v)
	case "NeedDaemonReload":
		f.NeedReload, _ = v.Value().(bool)
	case "FragmentPath":
		f.Fragment, _ = v.Value().(string)
	}
}

func stamped(v dbus.Variant) time.Time {
	if us, _ := v.Value().(uint64); us != 0 {
		return time.UnixMicro(int64(us))
	}
	return time.Time{}
}

// wait hears what happens to one unit. Its fields belong to the link's mutex.
type wait struct {
	unit    string
	facts   facts
	results map[dbus.ObjectPath]string
	news    chan struct{}
	gone    chan struct{} // closed when the connection is lost
}

func (w *wait) ended(job dbus.ObjectPath, result string) {
	w.results[job] = result
	w.wake()
}

func (w *wait) changed(body []any) {
	if len(body) < 2 {
		return
	}
	changed, _ := body[1].(map[string]dbus.Variant)
	for name, v := range changed {
		w.facts.set(name, v)
	}
	w.wake()
}

func (w *wait) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// await begins to hear of a unit. Call stop when that is no longer wanted.
func (l *link) await(unit string) (w *wait, stop func(), err error) {
	w = &wait{unit: unit, results: map[dbus.ObjectPath]string{}, news: make(chan struct{}, 1), gone: make(chan struct{})}
	path := unitPath(unit)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost {
		return nil, nil, errLost
	}
	l.waits[path] = append(l.waits[path], w)
	return w, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		rest := l.waits[path][:0:0]
		for _, other := range l.waits[path] {
			if other != w {
				rest = append(rest, other)
			}
		}
		if l.waits[path] = rest; len(rest) == 0 {
			delete(l.waits, path)
		}
	}, nil
}

// until waits until done says so of what was heard.
func (l *link) until(ctx context.Context, w *wait, done func(facts) bool) (facts, error) {
	for {
		l.mu.Lock()
		f := w.facts
		l.mu.Unlock()
		if done(f) {
			return f, nil
		}
		select {
		case <-w.news:
		case <-w.gone:
			return f, errLost
		case <-ctx.Done():
			return f, ctx.Err()
		}
	}
}

// outcome is how a job ended, and what the manager said of the unit meanwhile.
type outcome struct {
	// result is done, canceled, timeout, failed, dependency, skipped, invalid, assert, unsupported, collected or once: systemd1.Manager, JobRemoved.
	result string
	facts  facts
}

// job has the manager do something to a unit and waits for the end of that. The manager goes on with it where ctx ends first.
func (l *link) job(ctx context.Context, method, unit string) (outcome, error) {
	w, stop, err := l.await(unit)
	if err != nil {
		return outcome{}, err
	}
	defer stop()
	var path dbus.ObjectPath
	if err := l.call(ctx, method, unit, "replace").Store(&path); err != nil {
		return outcome{}, err
	}
	var o outcome
	f, err := l.until(ctx, w, func(facts) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		o.result = w.results[path]
		return o.result != ""
	})
	o.facts = f
	return o, err
}

// get reads properties of a unit, one call each, sent together.
func (l *link) get(ctx context.Context, unit string, of map[string][]string) (facts, error) {
	var f facts
	o := l.conn.Object(destination, unitPath(unit))
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	type asked struct {
		name string
		call *dbus.Call
	}
	var all []asked
	for iface, names := range of {
		for _, name := range names {
			l.calls.Add(1)
			all = append(all, asked{name, o.GoWithContext(limited, "org.freedesktop.DBus.Properties.Get", 0, make(chan *dbus.Call, 1), iface, name)})
		}
	}
	for _, a := range all {
		select {
		case <-a.call.Done:
		case <-limited.Done():
			return f, l.explain(ctx, limited.Err())
		}
		var v dbus.Variant
		if err := l.explain(ctx, a.call.Err); err != nil {
			return f, err
		}
		if err := a.call.Store(&v); err != nil {
			return f, err
		}
		f.set(a.name, v)
	}
	return f, nil
}
