package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Run keeps the set of src until ctx ends, and then returns ctx.Err(); the daemons live on. It holds the owner set's lock, and fails with ErrConflict
// where another run does; it fails where src can't be loaded at first. Later, whoever made src decides what a broken input means (see LastGood).
//
// It is driven by events: of src, of the drivers, of health checks. Underneath, everything is looked at every Resync.
//
// Where the link to the host is lost (see drivers.Linked) it ends with an error that wraps ErrUnreachable; a Run over a new link lists and looks at everything anew.
func (e *Engine) Run(ctx context.Context, src Source, o RunOptions) error {
	release, err := e.host.Lock(ctx, e.opt.Owner.Set, o.Holder)
	if err != nil {
		return fmt.Errorf("keep set %s on %s: %w", e.opt.Owner.Set, e.host.Name(), err)
	}
	defer release()
	if o.Resync <= 0 {
		o.Resync = 10 * time.Minute
	}
	ctx, cancel := whileLinked(ctx, e.host)
	defer cancel(nil)
	k := &keeping{opt: o, src: src, reload: make(chan struct{}, 1), relist: make(chan struct{}, 1)}
	k.loop = newLoop(e, func(*loop) policy { return k })
	e.running.Store(k.loop.queue)
	var wg sync.WaitGroup
	defer wg.Wait()
	k.watch(ctx, &wg)
	if err := k.load(ctx); err != nil {
		cancel(err)
		return k.lost(ctx, err)
	}
	if o.Loaded != nil {
		o.Loaded()
	}
	if o.Passed != nil {
		k.pass(func(int) { o.Passed() })
	}
	wg.Go(func() { k.loop.run(ctx) })
	return k.lost(ctx, k.keep(ctx))
}

// Behind is how long a daemon that is to be looked at now has waited for that in the Run of this engine, or the last one. More than seconds mean that a look hangs.
func (e *Engine) Behind() time.Duration {
	if q := e.running.Load(); q != nil {
		return q.Behind()
	}
	return 0
}

// whileLinked returns a context that also ends, with a cause that wraps ErrUnreachable, when the host's link is lost.
func whileLinked(ctx context.Context, host drivers.Host) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if l, ok := host.(drivers.Linked); ok {
		go func() {
			select {
			case <-l.Done():
				cancel(cmp.Or(l.Err(), fmt.Errorf("keep the daemons of %s: %w", host.Name(), drivers.ErrUnreachable)))
			case <-ctx.Done():
			}
		}()
	}
	return ctx, cancel
}

// cut says that the link to the host is lost: what failed then says nothing of the daemons.
func (e *Engine) cut() bool {
	l, ok := e.host.(drivers.Linked)
	if !ok {
		return false
	}
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}

// lost is why the run ends: the loss of the link where that is the reason of err.
func (k *keeping) lost(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, drivers.ErrUnreachable) {
		return cause
	}
	return err
}

// keeping is the policy of a run: it never ends, and what fails is tried again.
type keeping struct {
	loop *loop
	opt  RunOptions
	src  Source
	// reload and relist hold a token when the manifests, or anything at all, may have changed.
	reload, relist chan struct{}

	unwatched unwatched
	guarded   string // the guard's objection that was told last
}

// keep follows the manifests, and looks at everything from time to time, until ctx ends.
func (k *keeping) keep(ctx context.Context) error {
	resync, tidy := time.NewTicker(k.opt.Resync), time.NewTimer(k.opt.Resync)
	defer resync.Stop()
	defer tidy.Stop()
	pause := k.opt.Resync
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-k.reload:
			if err := k.load(ctx); err != nil && ctx.Err() == nil {
				k.loop.report("", "not loaded", err.Error())
			}
		case <-k.relist:
			k.all()
		case <-resync.C:
			k.all()
		case done := <-k.opt.Looks:
			k.pass(done)
		case <-tidy.C:
			if pause = min(2*pause, k.opt.Resync); k.housekeep(ctx) {
				pause = min(soonTidy, k.opt.Resync)
			}
			tidy.Reset(pause)
		}
	}
}

// all makes every daemon due.
func (k *keeping) all() {
	k.loop.mu.Lock()
	defer k.loop.mu.Unlock()
	for name := range k.loop.entries {
		k.loop.queue.Add(name)
	}
}

// soonTidy is how soon there is another look for housework where there was some; where there is none it takes twice as long each time, up to the resync.
const soonTidy = 10 * time.Second

// housekeep says whether there was anything to do.
func (k *keeping) housekeep(ctx context.Context) (busy bool) {
	for _, d := range k.loop.host.Drivers() {
		if h, ok := drivers.Find[drivers.Housekeeper](d); ok {
			did, err := h.Housekeep(ctx)
			if err != nil && ctx.Err() == nil {
				k.loop.opt.Log.Error(err, "housekeep", "host", k.loop.host.Name(), "driver", d.Kind())
			}
			busy = busy || did
		}
	}
	return busy
}

// load takes the wanted set from the source: what changed in it becomes due, what is no longer in it is let go of or pruned.
func (k *keeping) load(ctx context.Context) error {
	wants, err := k.src.Load(ctx)
	if err != nil {
		return err
	}
	wanted := make(map[string]bool, len(wants))
	for _, w := range wants {
		wanted[w.Name] = true
		if old := k.loop.entry(w.Name); old == nil || old.want == nil || !same(old.want, w) {
			k.loop.put(&entry{name: w.Name, want: w, unproven: true})
		}
	}
	for _, dep := range dependencies(wants) {
		if k.loop.entry(dep) == nil {
			k.loop.put(&entry{name: dep, passive: true})
		}
	}
	k.drop(wanted, dependencies(wants))
	if k.opt.Prune.Enabled {
		return k.prune(ctx, wants)
	}
	return nil
}

// same says whether two manifests ask for the same in every way, the values of secrets and the contents of files included.
func same(a, b *spec.Daemon) bool {
	return a.Digest == b.Digest && (unmade(a) == nil) == (unmade(b) == nil) && reflect.DeepEqual(a.Metadata, b.Metadata)
}

func dependencies(wants []*spec.Daemon) []string {
	var all []string
	for _, w := range wants {
		all = append(all, names(w.Spec.DependsOn)...)
	}
	return all
}

// drop lets go of what is no longer wanted; what is being pruned stays until it is gone.
func (k *keeping) drop(wanted map[string]bool, deps []string) {
	l := k.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	isDep := make(map[string]bool, len(deps))
	for _, d := range deps {
		isDep[d] = true
	}
	for name, en := range l.entries {
		if wanted[name] || en.passive && isDep[name] || en.want == nil && !en.passive {
			continue
		}
		delete(l.entries, name)
		l.prober.Forget(name)
		if !en.passive {
			k.letGo(name)
		}
	}
	l.link()
}

// prune makes entries of what the set has on the host and no longer wants. They wait until all that changed has proved itself.
func (k *keeping) prune(ctx context.Context, wants []*spec.Daemon) error {
	gone, objection, err := k.going(ctx, wants)
	if err != nil {
		return err
	}
	if objection != nil {
		if text := objection.Error(); text != k.guarded {
			k.guarded = text
			k.loop.report("", "not pruned", text)
		}
		return nil
	}
	k.guarded = ""
	for _, o := range gone {
		if k.loop.entry(o.Name) == nil {
			k.loop.put(&entry{name: o.Name, up: o.State == spec.Running, uses: names(o.Stamp.Spec.DependsOn)})
		}
	}
	return nil
}

// going is what may be pruned.
func (k *keeping) going(ctx context.Context, wants []*spec.Daemon) (gone []spec.Observed, objection, err error) {
	if k.opt.Permit == nil {
		gone, _, objection, err = k.loop.candidates(ctx, wants, k.opt.Prune)
		return gone, objection, err
	}
	gone, share, objection, err := k.loop.candidates(ctx, wants, PruneOptions{Guard: -1, Elsewhere: 1})
	if err != nil || objection != nil {
		return nil, objection, err
	}
	if ok, objection := k.opt.Permit(share); !ok {
		return nil, objection, nil
	}
	return gone, nil, nil
}

// needsHealth: always, for the conditions tell it.
func (k *keeping) needsHealth(*entry) bool { return true }

// watches: always, for what was started must be seen to die.
func (k *keeping) watches(*entry) bool { return true }

func (k *keeping) concluded(ctx context.Context, en *entry, c conclusion) time.Duration {
	l := k.loop
	if en.passive || l.cut() {
		return 0
	}
	var again time.Duration
	if en.want != nil {
		k.archive(ctx, c)
		again = k.prove(ctx, en, c)
	}
	l.tell(ctx, en, c)
	k.show(en, c)
	if en.want == nil && c.observed.State == spec.Absent {
		l.mu.Lock()
		if l.entries[en.name] == en {
			delete(l.entries, en.name)
			k.letGo(en.name)
		}
		l.mu.Unlock()
		if c.acted {
			l.report(en.name, string(Pruned), "")
		}
		return 0
	}
	if c.err != nil {
		en.fails++
		l.report(en.name, "failed", c.err.Error())
		if again > 0 {
			return again
		}
		if hopeless(c.err) && !errors.Is(c.err, drivers.ErrMoved) {
			return k.opt.Resync
		}
		return RetryDelay(en.name, en.fails)
	}
	en.fails = 0
	l.tellRefusal(en, c.decision)
	if c.acted {
		l.report(en.name, string(c.decision.Action), c.decision.Reason)
	}
	return sooner(again, c.decision.LookAgain)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func empty(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}
