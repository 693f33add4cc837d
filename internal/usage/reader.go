package usage

import (
	"maps"
	"slices"

	"reconciler.dev/reconciler/pkg/spec"
)

// Subject is an instance of a daemon that runs.
type Subject struct {
	// Dir is the directory of its cgroup; empty where it has none of its own.
	Dir string
	// PIDs are its processes, where it has no cgroup.
	PIDs []int
}

// memories are what is remembered of daemons, by their names: of the last two instances of each, for both may run.
type memories map[string][]*memory

// of is what is remembered of the instance that s names.
func (ms *memories) of(s *spec.Sample) *memory {
	all := (*ms)[s.Name]
	if i := slices.IndexFunc(all, func(m *memory) bool { return m.instance == s.Instance }); i >= 0 {
		return all[i]
	}
	if *ms == nil {
		*ms = memories{}
	}
	m := &memory{instance: s.Instance}
	(*ms)[s.Name] = append(slices.Clone(all[max(0, len(all)-1):]), m)
	return m
}

// forget forgets daemons.
func (ms memories) forget(gone func(name string) bool) {
	maps.DeleteFunc(ms, func(name string, _ []*memory) bool { return gone(name) })
}
