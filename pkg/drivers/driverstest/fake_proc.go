package driverstest

import (
	"slices"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// Behaviour is what a simulated daemon does. The zero Behaviour runs until a signal ends it, at once. Functions are called with the machine locked: they
// may use the Proc they are given and nothing else of this package.
type Behaviour struct {
	// Start is called when a process of the daemon begins.
	Start func(*Proc)
	// Signal is called for every signal but SIGKILL. Nil: the signal ends the process.
	Signal func(*Proc, spec.Signal)
	// Post is called for a POST to the daemon's stop or reload URL. Nil: nothing comes of it.
	Post func(*Proc, string)
}

// Proc is a simulated process.
type Proc struct {
	PID  int
	Want *spec.Daemon
	w    *world
	run  *run
	b    Behaviour
	dead bool
	exit spec.Exit
}

// run is the process tree of one instance.
type run struct {
	d        *daemon
	procs    []*Proc // the living, oldest first
	began    time.Time
	ended    time.Time
	stopping bool
	asked    bool
	gone     chan struct{} // closed when the last process has gone
}

// Exit ends the process with a status.
func (p *Proc) Exit(code int) { p.end(spec.Exit{Known: true, Code: code}) }

// Die ends the process as an uncaught signal does.
func (p *Proc) Die(s spec.Signal) { p.end(spec.Exit{Known: true, Signal: string(s)}) }

// Vanish ends the process with a status that nobody gets to know.
func (p *Proc) Vanish() { p.end(spec.Exit{}) }

// After calls f with the machine locked once d has passed, unless the process has ended by then.
func (p *Proc) After(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		p.w.do(func() {
			if !p.dead {
				f()
			}
		})
	})
}

// Spawn adds a process to the tree.
func (p *Proc) Spawn(b Behaviour) *Proc { return p.run.spawn(p.w, p.Want, b) }

// WriteFile writes a file of the simulated machine.
func (p *Proc) WriteFile(path string, content []byte) {
	p.w.files[path] = File{Content: slices.Clone(content), Mode: 0o644}
}

// Append appends to the daemon's log.
func (p *Proc) Append(text string) {
	f := p.w.files[logPath(p.Want)]
	f.Content = append(f.Content, text...)
	p.w.files[logPath(p.Want)] = f
}

// ReadFile returns the content of a file of the simulated machine, nil where there is none.
func (p *Proc) ReadFile(path string) []byte { return p.w.files[path].Content }

func logPath(d *spec.Daemon) string {
	if d.Spec.Log.Path != "" {
		return d.Spec.Log.Path
	}
	return "/log/" + d.Name + ".log"
}

func (r *run) spawn(w *world, want *spec.Daemon, b Behaviour) *Proc {
	w.nextPID++
	p := &Proc{PID: w.nextPID, Want: want, w: w, run: r, b: b}
	r.procs = append(r.procs, p)
	w.procs[p.PID] = p
	if b.Start != nil {
		b.Start(p)
	}
	return p
}

func (p *Proc) signal(s spec.Signal) {
	switch {
	case p.dead:
	case s == "SIGKILL" || p.b.Signal == nil:
		p.Die(s)
	default:
		p.b.Signal(p, s)
	}
}

func (p *Proc) end(how spec.Exit) {
	if p.dead {
		return
	}
	p.dead, p.exit = true, how
	delete(p.w.procs, p.PID)
	r := p.run
	r.procs = slices.DeleteFunc(r.procs, func(x *Proc) bool { return x == p })
	if len(r.procs) == 0 {
		r.ended = time.Now()
		how.At, how.Asked = r.ended, r.asked
		r.d.inst.Exit = &how
		close(r.gone)
	}
	p.w.touch(r.d.name)
}

func (r *run) alive() bool { return r != nil && len(r.procs) > 0 }

func (r *run) state() spec.State {
	switch {
	case !r.alive():
		return spec.Exited
	case r.stopping:
		return spec.Stopping
	}
	return spec.Running
}

// look copies the instance and fills in what depends on the time of the look.
func (r *run) look(i *spec.Instance) *spec.Instance {
	c := *i
	if r.alive() {
		c.PID = r.procs[0].PID
		c.StartTicks = uint64(c.PID)
		c.Up = time.Since(r.began)
		return &c
	}
	e := *c.Exit
	e.Since = time.Since(r.ended)
	c.Exit, c.Up = &e, r.ended.Sub(r.began)
	return &c
}
