package spec

import (
	"encoding/json"
	"time"
)

// Defaults fills in every field that is zero and has a default, and folds healthURL into health.url. Where both are given it leaves them,
// for Validate to complain of. Spec's comments say what the defaults are.
//
// A field that may be zero and has another default (startPeriod, gracePeriod, maxFiles) can't be told from one that was left out, in Go. Reading YAML or
// JSON keeps the difference: there an absent field has its default, and a zero that is written stays.
func Defaults(s *Spec) { s.setDefaults() }

func (s *Spec) setDefaults() {
	fill(&s.Driver, DriverAuto)
	fill(&s.Type, TypeExec)
	fill(&s.WorkingDir, "/")
	fillPtr(&s.Umask, 0o022)
	s.Stop.setDefaults()
	s.Restart.setDefaults()
	s.Log.setDefaults()
	s.foldHealthURL()
	if s.Health != nil {
		s.Health.setDefaults()
	}
	s.programDefaults()
	for i := range s.Files {
		s.Files[i].setDefaults()
	}
	for i := range s.DependsOn {
		s.DependsOn[i].setDefaults()
	}
}

func (s *Spec) foldHealthURL() {
	if s.HealthURL == "" || s.Health != nil && s.Health.URL != "" {
		return
	}
	if s.Health == nil {
		s.Health = new(Health)
		s.Health.setDefaults()
	}
	s.Health.URL, s.HealthURL = s.HealthURL, ""
}

func (h *Health) setDefaults() {
	fill(&h.Interval, Duration(10*time.Second))
	fill(&h.Timeout, Duration(2*time.Second))
	fill(&h.StartPeriod, Duration(30*time.Second))
	fill(&h.FailureThreshold, 3)
	fill(&h.SuccessThreshold, 1)
	fill(&h.OnFailure, OnFailureReport)
}

func (s *Stop) setDefaults() {
	fill(&s.Signal, "SIGTERM")
	fill(&s.GracePeriod, Duration(10*time.Second))
}

func (r *Restart) setDefaults() {
	fill(&r.Policy, RestartAlways)
	r.Backoff.setDefaults()
}

func (b *Backoff) setDefaults() {
	fill(&b.Initial, Duration(time.Second))
	fill(&b.Max, Duration(5*time.Minute))
	fill(&b.ResetAfter, Duration(time.Minute))
}

// programDefaults are those of how the program comes to be, and of what it is called where the manifest leaves that out.
func (s *Spec) programDefaults() {
	if s.Build != nil {
		s.Build.setDefaults()
		if s.Install == nil {
			s.Install = new(Install)
			s.Install.setDefaults()
		}
	}
	if s.Install != nil {
		fillPtr(&s.Install.Mode, 0o755)
		fill(&s.Binary, s.programName())
	}
	if s.Update != nil {
		s.Update.setDefaults()
	}
}

func (b *Build) setDefaults() {
	fill(&b.On, BuildOnController)
	fill(&b.Timeout, Duration(10*time.Minute))
}

func (i *Install) setDefaults() {
	fillPtr(&i.Mode, 0o755)
	fill(&i.Keep, 3)
}

func (u *Update) setDefaults() {
	fill(&u.Strategy, UpdateRestart)
	fill(&u.ReadyTimeout, Duration(time.Minute))
	fill(&u.OnFailure, UpdateRollback)
}

func (f *File) setDefaults() { fillPtr(&f.Mode, 0o644) }

func (d *Dependency) setDefaults() { fill(&d.Condition, DependencyReady) }

func (l *Log) setDefaults() {
	fill(&l.MaxSize, 10<<20)
	fill(&l.MaxFiles, 3)
}

func (s *HostSpec) setDefaults() {
	fill(&s.Driver, DriverAuto)
	s.Agent.setDefaults()
}

func (a *HostAgent) setDefaults() { fill(&a.Install, InstallAuto) }

func fill[T comparable](v *T, def T) {
	if *v == *new(T) {
		*v = def
	}
}

func fillPtr[T any](v **T, def T) {
	if *v == nil {
		*v = &def
	}
}

// UnmarshalJSON reads a spec in which an absent field has its default, so that a record that an older version wrote means what it meant.
func (s *Spec) UnmarshalJSON(b []byte) error {
	type plain Spec
	var p Spec
	p.setDefaults()
	if err := json.Unmarshal(b, (*plain)(&p)); err != nil {
		return err
	}
	for i := range p.Files {
		p.Files[i].setDefaults()
	}
	for i := range p.DependsOn {
		p.DependsOn[i].setDefaults()
	}
	*s = p
	return nil
}

// UnmarshalJSON reads a check in which an absent field has its default.
func (h *Health) UnmarshalJSON(b []byte) error {
	type plain Health
	var p Health
	p.setDefaults()
	if err := json.Unmarshal(b, (*plain)(&p)); err != nil {
		return err
	}
	*h = p
	return nil
}
