package drivers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// slots presents as one daemon the two copies that run of it for a while where its new instance is started before the old one is stopped. The one in slot 0 has the daemon's name for
// the driver below, the one in slot 1 that of spec.SecondName. Nothing is kept beside their stamps: which copy came later is what those say, so whoever comes after a crash goes on
// where it happened.
type slots struct {
	Driver
	dirs layout.Dirs
}

// WithSlots has d run two copies of a daemon side by side where a step asks for that.
func WithSlots(d Driver, dirs layout.Dirs) Driver {
	s := &slots{d, dirs}
	if p, ok := Find[Placer](d); ok {
		return &placingSlots{s, p}
	}
	return s
}

// Unwrap is for Find.
func (s *slots) Unwrap() Driver { return s.Driver }

// List returns each daemon once.
func (s *slots) List(ctx context.Context) ([]string, error) {
	names, err := s.Driver.List(ctx)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		names[i], _ = spec.LogicalName(name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Watch tells of daemons, whichever copy of them it was.
func (s *slots) Watch(ctx context.Context, changed func(name string)) error {
	return s.Driver.Watch(ctx, func(name string) {
		logical, _ := spec.LogicalName(name)
		changed(logical)
	})
}

// Observe looks at both copies of those daemons that have two.
func (s *slots) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	found, err := s.Driver.Observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	second, at, err := s.seconds(ctx, names)
	if err != nil {
		return nil, err
	}
	if len(second) > 0 {
		beside, err := s.Driver.Observe(ctx, second...)
		if err != nil {
			return nil, err
		}
		for j, i := range at {
			found[i] = newPair(names[i], found[i], beside[j]).merged()
		}
	}
	for i := range found {
		found[i] = unslotted(found[i])
	}
	return found, nil
}

// seconds are the names of the second copies of those of names that may have one, and where those stand among names.
func (s *slots) seconds(ctx context.Context, names []string) (second []string, at []int, err error) {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = spec.SecondName(name)
	}
	may := make([]bool, len(names))
	if k, ok := Find[Knower](s.Driver); ok {
		if may, err = k.Knows(ctx, all...); err != nil {
			return nil, nil, err
		}
	} else {
		for i := range may {
			may[i] = true
		}
	}
	for i, name := range all {
		if may[i] {
			second, at = append(second, name), append(at, i)
		}
	}
	return second, at, nil
}

// hasSecond tells whether there is anything in slot 1.
func (s *slots) hasSecond(ctx context.Context, name string) (bool, error) {
	return knows(ctx, s.Driver, spec.SecondName(name))
}

// Apply does a step on the copy that it concerns. A daemon that has only one, and always will, costs no more than without slots.
func (s *slots) Apply(ctx context.Context, step spec.Step) error {
	single := !step.Beside && (step.Want == nil || !step.Want.Spec.Slots()) && !strings.Contains(step.Stop.URL, spec.SlotReference)
	if single {
		second, err := s.hasSecond(ctx, step.Name)
		switch {
		case err != nil:
			return fmt.Errorf("%s daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, err)
		case !second && (step.Verb == spec.VerbRetire || step.Verb == spec.VerbAbandon):
			return nil
		case !second:
			return s.Driver.Apply(ctx, step)
		}
	}
	if !GoodName(step.Name) {
		return fmt.Errorf("%s daemon %s: %q is no name of a daemon: %w", strings.ToLower(string(step.Verb)), step.Name, step.Name, ErrPermanent)
	}
	lock, err := LockName(ctx, s.dirs, step.Name+slotsLock)
	if err != nil {
		return err
	}
	defer lock.Release()
	p, err := s.look(ctx, step.Name)
	if err != nil {
		return fmt.Errorf("%s daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, err)
	}
	return s.do(ctx, p, step)
}

// slotsLock follows a daemon's name in the name of the lock under which its copies are told apart. With it that is no name of a daemon.
const slotsLock = "/slots"

func (s *slots) look(ctx context.Context, name string) (*pair, error) {
	found, err := s.Driver.Observe(ctx, name, spec.SecondName(name))
	if err != nil {
		return nil, err
	}
	return newPair(name, found[0], found[1]), nil
}

func (s *slots) do(ctx context.Context, p *pair, step spec.Step) error {
	now, before := p.now(), 1-p.now()
	switch step.Verb {
	case spec.VerbStart:
		return s.start(ctx, p, step)
	case spec.VerbStop, spec.VerbRemove:
		if p.both() {
			if err := CheckInstance(step, p.copies[now]); err != nil && p.copies[now].State == spec.Running {
				return fmt.Errorf("%s daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, err)
			}
			if err := s.Driver.Apply(ctx, p.step(step, before)); err != nil {
				return err
			}
		}
		own := p.step(step, now)
		own.Instance = step.Instance
		return s.Driver.Apply(ctx, own)
	case spec.VerbRetire, spec.VerbAbandon:
		if !p.both() {
			return nil
		}
		if err := CheckInstance(step, p.copies[now]); err != nil {
			return fmt.Errorf("%s daemon %s: %w", strings.ToLower(string(step.Verb)), step.Name, err)
		}
		if step.Verb == spec.VerbAbandon {
			return s.drop(ctx, p, step, now)
		}
		return s.drop(ctx, p, step, before)
	default:
		own := p.step(step, now)
		own.Instance = step.Instance
		return s.Driver.Apply(ctx, own)
	}
}

// start starts a daemon in its slot, or beside the one that runs.
func (s *slots) start(ctx context.Context, p *pair, step spec.Step) error {
	now := p.now()
	if !step.Beside || p.copies[now].State != spec.Running {
		own := p.step(step, now)
		own.Instance = step.Instance
		return s.Driver.Apply(ctx, own)
	}
	if p.both() {
		if o, w := p.copies[1-now], p.copies[now]; instanceOf(o) == step.Instance && w.Stamp.Digest == step.Want.Digest && w.Stamp.Generation == step.Generation {
			return nil
		}
		return fmt.Errorf("start daemon %s: two copies of it run already: %w", step.Name, ErrMoved)
	}
	if err := CheckInstance(step, p.copies[now]); err != nil {
		return fmt.Errorf("start daemon %s: %w", step.Name, err)
	}
	p.turns[1-now] = p.turns[now] + 1
	own := p.step(step, 1-now)
	own.Instance, own.Attempts, own.Restart = "", 0, false
	if err := s.Driver.Apply(ctx, own); err != nil {
		return err
	}
	failpoint.Hit(failpoint.SlotBeside)
	return nil
}

// drop ends a copy and takes it away.
func (s *slots) drop(ctx context.Context, p *pair, step spec.Step, slot int) error {
	failpoint.Hit(failpoint.SlotJudged)
	o := p.copies[slot]
	own := spec.Step{Verb: spec.VerbStop, Name: p.physical(slot), Reason: step.Reason, Driver: step.Driver, Instance: instanceOf(o), Stop: o.Stamp.Spec.InSlot(slot).Stop}
	if err := s.Driver.Apply(ctx, own); err != nil {
		return err
	}
	failpoint.Hit(failpoint.SlotEnded)
	own.Verb = spec.VerbRemove
	return s.Driver.Apply(ctx, own)
}

// pair is the two copies of a daemon as they were found; their stamps say what was applied.
type pair struct {
	name   string
	copies [2]spec.Observed
	turns  [2]int64
}

func newPair(name string, first, second spec.Observed) *pair {
	return &pair{name, [2]spec.Observed{unslotted(first), unslotted(second)}, [2]int64{turnOf(first), turnOf(second)}}
}

func (p *pair) both() bool { return p.copies[0].Stamp != nil && p.copies[1].Stamp != nil }

// now is the slot of the copy that came later; where there is only one, its. One that nothing comes of any more leaves the one before, which goes on, in its place.
func (p *pair) now() int {
	later := 0
	if p.copies[0].Stamp == nil || p.turns[1] > p.turns[0] {
		later = 1
	}
	switch {
	case p.copies[1].Stamp == nil:
		return 0
	case spent(p.copies[later]) && p.copies[1-later].State == spec.Running:
		return 1 - later
	}
	return later
}

// spent tells whether nothing comes of a copy any more: its start was cut off, or it was ended in order to be taken away.
func spent(o spec.Observed) bool {
	return o.State == spec.Exited && (o.Instance == nil || o.Instance.Spent())
}

func (p *pair) physical(slot int) string {
	if slot == 0 {
		return p.name
	}
	return spec.SecondName(p.name)
}

// step is step as the driver below does it on the copy in a slot.
func (p *pair) step(step spec.Step, slot int) spec.Step {
	step.Name, step.Instance, step.Beside = p.physical(slot), instanceOf(p.copies[slot]), false
	step.Stop = step.Stop.InSlot(slot)
	if w := step.Want; w != nil && (w.Spec.Slots() || slot > 0) {
		own := *w
		own.Name, own.Spec, own.Slot = step.Name, w.Spec.InSlot(slot), &spec.Slotted{Turn: p.turns[slot], Spec: w.Spec}
		step.Want = &own
	}
	return step
}

// merged is the pair as one daemon. What can't be told of one copy can't be told of the daemon.
func (p *pair) merged() spec.Observed {
	for _, o := range p.copies {
		if o.State == spec.Unknown {
			o.Name = p.name
			return o
		}
	}
	now := p.now()
	o := p.copies[now]
	o.Name, o.Slot = p.name, now
	if !p.both() {
		return o
	}
	before := p.copies[1-now]
	o.Outgoing = &spec.Instance{}
	if before.Instance != nil {
		o.Outgoing = before.Instance
	}
	if before.State == spec.Starting || before.State == spec.Stopping {
		o.State = before.State
	}
	return o
}

// unslotted has the stamp of a copy say what was applied.
func unslotted(o spec.Observed) spec.Observed {
	if st := o.Stamp; st != nil && st.Slot != nil {
		own := *st
		own.Name, _ = spec.LogicalName(st.Name)
		own.Spec, own.Slot = st.Slot.Spec, nil
		o.Stamp = &own
	}
	return o
}

func turnOf(o spec.Observed) int64 {
	if o.Stamp == nil || o.Stamp.Slot == nil {
		return 0
	}
	return o.Stamp.Slot.Turn
}

func instanceOf(o spec.Observed) string {
	if o.Instance == nil {
		return ""
	}
	return o.Instance.ID
}
