package spec

import (
	"slices"
	"strconv"
	"strings"
)

// secondSuffix ends what the copy in slot 1 is called below the drivers. It can't occur in the name of a manifest.
const secondSuffix = "_1"

// Slotted is what the stamp says of a daemon of which two copies run side by side while it is updated. The stamp's own Spec is what runs in the copy's slot.
type Slotted struct {
	// Turn grows by one with each copy that is started beside another one: of two, the one with the higher turn came later.
	Turn int64 `json:"turn"`
	// Spec is what was applied: $(SLOT) isn't expanded in it.
	Spec Spec `json:"spec"`
}

// SecondName is what the copy of a daemon in slot 1 is called below the drivers. The one in slot 0 has the daemon's name.
func SecondName(name string) string { return name + secondSuffix }

// LogicalName is the name of the daemon that name is a copy of, and the copy's slot.
func LogicalName(name string) (logical string, slot int) {
	if logical, second := strings.CutSuffix(name, secondSuffix); second {
		return logical, 1
	}
	return name, 0
}

// InSlot returns the spec as it runs in a slot: $(SLOT) is expanded where the strategy is StartFirst, and what no two copies can share differs. Nothing of s is changed.
func (s Spec) InSlot(slot int) Spec {
	if s.Slots() {
		s.expandSlot(slot)
	}
	if c := s.Cgroup; c != nil && slot > 0 {
		own := *c
		own.Service, own.Instance = "", "" // it is found by its own name
		s.Cgroup = &own
	}
	return s
}

func (s *Spec) expandSlot(slot int) {
	s.Args = eachInSlot(s.Args, slot)
	env := make(map[string]EnvVar, len(s.Env))
	for name, v := range s.Env {
		if v.Value != nil {
			value := inSlot(*v.Value, slot)
			v.Value = &value
		}
		env[name] = v
	}
	if s.Env != nil {
		s.Env = env
	}
	s.Health = s.Health.InSlot(slot)
	s.Metrics = s.Metrics.InSlot(slot)
	s.Stop = s.Stop.InSlot(slot)
	s.Reload = s.Reload.InSlot(slot)
}

// InSlot returns the check of the copy in that slot.
func (h *Health) InSlot(slot int) *Health {
	if h == nil {
		return nil
	}
	own := *h
	own.URL, own.TCP, own.Exec = inSlot(h.URL, slot), inSlot(h.TCP, slot), eachInSlot(h.Exec, slot)
	own.ExpectHeader, own.ExpectBody = inSlot(h.ExpectHeader, slot), inSlot(h.ExpectBody, slot)
	return &own
}

// InSlot returns where the copy in that slot exposes metrics.
func (m *Metrics) InSlot(slot int) *Metrics {
	if m == nil {
		return nil
	}
	return &Metrics{URL: inSlot(m.URL, slot)}
}

// InSlot returns how the copy in that slot is stopped.
func (s Stop) InSlot(slot int) Stop {
	s.URL = inSlot(s.URL, slot)
	return s
}

// InSlot returns how the copy in that slot is made to read its files again.
func (r *Reload) InSlot(slot int) *Reload {
	if r == nil {
		return nil
	}
	own := *r
	own.URL, own.Exec = inSlot(r.URL, slot), eachInSlot(r.Exec, slot)
	if r.Expect != nil {
		e := *r.Expect
		e.URL, e.Header, e.Body = inSlot(e.URL, slot), inSlot(e.Header, slot), inSlot(e.Body, slot)
		own.Expect = &e
	}
	return &own
}

func inSlot(text string, slot int) string {
	return strings.ReplaceAll(text, SlotReference, strconv.Itoa(slot))
}

func eachInSlot(texts []string, slot int) []string {
	own := slices.Clone(texts)
	for i := range own {
		own[i] = inSlot(own[i], slot)
	}
	return own
}
