package systemd

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Versions of systemd in which something that we use came.
const (
	hasAppend = 240 // also Type=exec
	hasOOM    = 243 // OOMPolicy=
	hasTenths = 248 // a CPUQuota= of less than a percent
	hasSteps  = 254 // RestartSteps=, RestartMaxDelaySec=
	hasHelper = 255 // systemd-executor, which starts programs and loses white space at the end of a path on the way
)

// Render writes the unit of a daemon. Its errors name the field that a unit can't carry, and wrap drivers.ErrUnsupported or drivers.ErrPermanent; Unit.Lost is what
// it carries in part or not at all where that is no reason to refuse.
func Render(d *spec.Daemon, stamp *spec.Stamp, f Facts) (Unit, error) {
	r := &renderer{d: d, facts: f, unit: Unit{Name: spec.UnitName(d.Name, d.Spec.Cgroup), Limits: limitsOf(d.Spec.Cgroup)}}
	account, err := f.Account(d.Spec.User, d.Spec.Group)
	if err != nil {
		return Unit{}, fmt.Errorf("%w: %w", err, drivers.ErrPermanent)
	}
	r.account = account
	r.text.Grow(4 << 10)
	r.sockets()
	r.about(stamp)
	r.process()
	r.ending()
	r.output()
	r.limits()
	r.sandbox(d.Spec.Sandbox, account.UID == 0)
	r.section("Install")
	r.set("WantedBy", r.target())
	if err := errors.Join(r.problems...); err != nil {
		return Unit{}, err
	}
	r.unit.Text, err = seal([]byte(r.text.String()), stamp)
	return r.unit, err
}

// renderer renders one unit.
type renderer struct {
	writer
	d        *spec.Daemon
	facts    Facts
	account  *spawn.Account
	unit     Unit
	problems []error
}

// writer writes the lines of a unit.
type writer struct{ text strings.Builder }

func (w *writer) section(name string) { w.line("\n[", name, "]\n") }

func (w *writer) set(key, value string) { w.line(key, "=", value, "\n") }

func (w *writer) line(parts ...string) {
	for _, p := range parts {
		w.text.WriteString(p)
	}
}

// refuse remembers that a field can't be carried.
func (r *renderer) refuse(field, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s: %s: %w", field, fmt.Sprintf(format, args...), drivers.ErrUnsupported))
}

func (r *renderer) lose(field, reason string) {
	r.unit.Lost = append(r.unit.Lost, spec.Loss{Field: field, Reason: reason})
}

// target is what pulls units in when the manager starts.
func (r *renderer) target() string {
	if r.facts.User {
		return "default.target"
	}
	return "multi-user.target"
}

// about says what the unit is and when it has its turn. Daemons that it depends on come first when all are started at once, as at boot; they aren't pulled in, because
// one that somebody stopped is to stay so. Its generation in the description tells of a loaded unit which version that is.
func (r *renderer) about(stamp *spec.Stamp) {
	fmt.Fprintf(&r.text, "# Written by reconciler for the daemon %s. Change its manifest and apply that: edits of this file are undone.\n", r.d.Name)
	r.section("Unit")
	r.set("Description", Description(stamp))
	r.set("StartLimitIntervalSec", "0")
	var after []string
	if !r.facts.User {
		after = []string{"network.target", "network-online.target", "remote-fs.target", "nss-user-lookup.target"}
	}
	for _, dep := range r.d.Spec.DependsOn {
		if unit := r.facts.UnitOf(dep.Name); unit != "" {
			after = append(after, unit)
		}
	}
	if len(after) > 0 {
		r.set("After", strings.Join(after, " "))
	}
	if len(r.unit.Sockets) > 0 {
		r.set("Requires", r.socketNames())
	}
}

// Description is that of the unit of a stamp: it tells which generation of the daemon systemd has loaded. Everybody can ask systemd for it, so it has nothing that secrets
// could be guessed from.
func Description(stamp *spec.Stamp) string {
	if hasSecrets(&stamp.Spec) {
		return fmt.Sprintf("%s (reconciler, generation %d)", stamp.Name, stamp.Generation)
	}
	short := strings.TrimPrefix(stamp.Digest, "sha256:")
	return fmt.Sprintf("%s (reconciler, generation %d, %s)", stamp.Name, stamp.Generation, short[:min(12, len(short))])
}

// process says what runs and as whom.
func (r *renderer) process() {
	s := &r.d.Spec
	r.section("Service")
	r.startType(s)
	if len(r.unit.Sockets) > 0 {
		r.set("Sockets", r.socketNames())
	}
	r.execStart(s)
	if s.User != "" && !r.facts.User {
		r.named("User", "spec.user", s.User)
	}
	if s.Group != "" && !r.facts.User {
		r.named("Group", "spec.group", s.Group)
	}
	umask := spec.Mode(0o022)
	if s.Umask != nil {
		umask = *s.Umask
	}
	r.set("UMask", umask.String())
	if s.Nice != 0 {
		r.set("Nice", strconv.Itoa(s.Nice))
	}
	r.rlimits(s.Rlimits)
	r.set("IgnoreSIGPIPE", "no")
}

// startType renders spec.type.
func (r *renderer) startType(s *spec.Spec) {
	wait := 90 * time.Second
	switch {
	case s.Type == spec.TypeNotify:
		r.set("Type", "notify")
		r.set("NotifyAccess", "main")
	case s.Type == spec.TypeForking:
		r.set("Type", "forking")
		r.set("GuessMainPID", "yes")
	case r.facts.Version < hasAppend:
		r.set("Type", "simple")
	default:
		r.set("Type", "exec")
	}
	if (s.Type == spec.TypeNotify || s.Type == spec.TypeForking) && s.Health != nil {
		wait = max(wait, s.Health.StartPeriod.D())
	}
	r.set("TimeoutStartSec", span(wait))
}

// named writes an account, which is no word: systemd refuses the unit where it doesn't like one.
func (r *renderer) named(key, field, name string) {
	if !plain(name) || controls(name) || strings.ContainsAny(name, "\\\t ") {
		r.refuse(field, "%q can't be an account", name)
		return
	}
	r.set(key, whole(name))
}

// rlimits writes the process limits; see systemd.exec(5), PROCESS PROPERTIES.
func (r *renderer) rlimits(limits map[string]spec.Rlimit) {
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		field, l := "spec.rlimits."+name, limits[name]
		switch {
		case name == "locks":
			r.lose(field, "Linux has had no limit on locks since 2.4.25")
			continue
		case !slices.Contains(spec.RlimitNames(), name):
			r.refuse(field, "there is no such process limit")
			continue
		case name == "cpu" && (beyond(l.Soft) || beyond(l.Hard)):
			r.refuse(field, "systemd counts no more than %d seconds: write infinity", uint64(maxSeconds))
			continue
		}
		r.set("Limit"+strings.ToUpper(name), l.String())
	}
}

// maxSeconds is the longest time that systemd, which counts microseconds, knows.
const maxSeconds = math.MaxUint64 / 1_000_000

func beyond(seconds uint64) bool { return seconds != spec.NoRlimit && seconds > maxSeconds-1 }

// output says where stdout and stderr go.
func (r *renderer) output() {
	to := "journal"
	if p := r.d.Spec.Log.Path; p != "" {
		switch {
		case !plain(p) || controls(p):
			r.refuse("spec.log.path", "%q has control characters in it, or is not UTF-8, and systemd can't be told of it", p)
		case r.facts.Version >= hasHelper && blankEnd(p):
			r.refuse("spec.log.path", "%q ends in white space, which systemd %d loses: give it another name, or leave it out to have the journal", p, r.facts.Version)
		case r.facts.Version < hasAppend:
			r.refuse("spec.log.path", "systemd %d appends to no file: leave it out to have the journal, or use another driver", r.facts.Version)
		default:
			to = "append:" + whole(p)
		}
	}
	r.set("StandardInput", "null")
	r.set("StandardOutput", to)
	r.set("StandardError", to)
	r.set("SyslogIdentifier", r.d.Name)
}

// limits says where the daemon's cgroup is and what it may use.
func (r *renderer) limits() {
	if c := r.d.Spec.Cgroup; c != nil && c.Slice != "" {
		p := spec.SlicePath(c.Slice)
		if p == nil {
			r.refuse("spec.cgroup.slice", "%q can't be a slice", c.Slice)
			return
		}
		r.set("Slice", p[len(p)-1])
	}
	if l := &r.unit.Limits; l.CPU%10 != 0 && r.facts.Version < hasTenths {
		r.lose("spec.cgroup.cpuLimit", fmt.Sprintf("systemd %d counts whole percents: it is rounded up", r.facts.Version))
		l.CPU += 10 - l.CPU%10
	}
	r.unit.Limits.settings(&r.writer)
	if r.facts.Version >= hasOOM {
		r.set("OOMPolicy", "stop")
	}
}

// span writes a time as systemd.time(7) has it. None at all would mean for ever, so the least is a microsecond.
func span(d time.Duration) string {
	us := d / time.Microsecond
	if d%time.Microsecond != 0 || us == 0 {
		us++
	}
	switch {
	case us%1_000_000 == 0:
		return strconv.FormatInt(int64(us/1_000_000), 10) + "s"
	case us%1000 == 0:
		return strconv.FormatInt(int64(us/1000), 10) + "ms"
	default:
		return strconv.FormatInt(int64(us), 10) + "us"
	}
}

// envFile is the path of the daemon's file of secrets.
func (r *renderer) envFile() string { return path.Join(r.facts.EnvDir, r.d.Name+".env") }
