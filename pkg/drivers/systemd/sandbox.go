package systemd

import (
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// sandbox writes spec.sandbox in systemd's own words, see systemd.exec(5). root says that the daemon is root's.
func (r *renderer) sandbox(s *spec.Sandbox, root bool) {
	if s == nil {
		return
	}
	if s.NoNewPrivileges {
		r.set("NoNewPrivileges", "yes")
	}
	if r.facts.User {
		r.unsandboxed(s)
		return
	}
	if s.ProtectSystem != "" {
		r.set("ProtectSystem", string(s.ProtectSystem))
	}
	if s.ProtectHome != "" {
		r.set("ProtectHome", string(s.ProtectHome))
	}
	if s.PrivateTmp {
		r.set("PrivateTmp", "yes")
	}
	for _, p := range s.ReadWritePaths {
		if !plain(p) {
			r.refuse("spec.sandbox.readWritePaths", "%q has a newline in it, or is not UTF-8, and systemd can't be told of it", p)
			continue
		}
		r.set("ReadWritePaths", quote(p, simpleWord))
	}
	r.capabilities(s.Capabilities, root)
}

// capabilities bounds what the daemon can ever have. A user other than root has none to begin with, and so is given them.
func (r *renderer) capabilities(names []string, root bool) {
	switch {
	case len(names) == 0:
	case slices.Contains(names, spec.NoCapabilities):
		r.set("CapabilityBoundingSet", "")
	default:
		r.set("CapabilityBoundingSet", strings.Join(names, " "))
		if !root {
			r.set("AmbientCapabilities", strings.Join(names, " "))
		}
	}
}

// unsandboxed reports what the manager of a user, which has no rights to take away, can't do. A daemon of a user has no capabilities; without new privileges it can't
// get any.
func (r *renderer) unsandboxed(s *spec.Sandbox) {
	const reason = "the systemd of a user has no right to do that; run reconciler as root, with spec.user"
	for _, x := range []struct {
		asked bool
		field string
	}{
		{s.ProtectSystem != "", "protectSystem"}, {s.ProtectHome != "", "protectHome"}, {s.PrivateTmp, "privateTmp"}, {len(s.ReadWritePaths) > 0, "readWritePaths"},
		{len(s.Capabilities) > 0 && !(s.NoNewPrivileges && s.Capabilities[0] == spec.NoCapabilities), "capabilities"},
	} {
		if !x.asked {
			continue
		}
		l := spec.Loss{Field: "spec.sandbox." + x.field, Reason: reason}
		r.unit.Lost = append(r.unit.Lost, l)
		if s.Required {
			r.problems = append(r.problems, drivers.Refusal(l))
		}
	}
}
