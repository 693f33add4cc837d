package main

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// The reasons that diff names.
const (
	reasonManifest = "manifest changed"
	reasonDrift    = "drift"
)

// differs says whether apply would do anything about an item, or the manifest says something new.
func differs(it reconcile.Item) bool {
	return len(it.Steps) > 0 || len(it.Changes) > 0 || len(it.Drift) > 0
}

// diffText writes the differences of items as unified text: a hunk for each field, headed by the field, its change class and the reason.
func diffText(all []done) []byte {
	var b bytes.Buffer
	for _, d := range all {
		for _, it := range d.items {
			if differs(it) {
				diffItem(&b, d.host, it)
			}
		}
	}
	return b.Bytes()
}

func diffItem(b *bytes.Buffer, host string, it reconcile.Item) {
	daemon, stamp := hostPrefix(host)+"daemon/"+it.Name, it.Observed.Stamp
	switch {
	case it.Want == nil:
		header(b, fmt.Sprintf("%s (applied, generation %d)", daemon, generation(stamp)), "/dev/null")
		fmt.Fprintf(b, "@@ %s: no longer in the manifests @@\n", it.Action)
		if stamp != nil {
			lines(b, '-', document(stamp.Metadata, stamp.Spec))
		}
	case stamp == nil:
		header(b, "/dev/null", fmt.Sprintf("%s (%s)", daemon, it.Want.Source))
		fmt.Fprintf(b, "@@ %s: new in the manifests @@\n", it.Action)
		lines(b, '+', document(it.Want.Metadata, it.Want.Spec))
	default:
		header(b, fmt.Sprintf("%s (applied, generation %d)", daemon, generation(stamp)), fmt.Sprintf("%s (%s)", daemon, it.Want.Source))
		diffFields(b, it)
	}
	if it.Want == nil {
		return
	}
	for _, l := range it.Lost {
		fmt.Fprintf(b, "# %s is not enforced here: %s\n", clean(l.Field), clean(l.Reason))
	}
}

func diffFields(b *bytes.Buffer, it reconcile.Item) {
	if m := it.Move; m != nil {
		hunk(b, "driver", spec.Recreated.String(), m.Reason, string(m.From), string(m.To))
	}
	for _, ch := range it.Changes {
		hunk(b, ch.Field, ch.Class.String(), reasonManifest, ch.Old, ch.New)
	}
	class := repairClass(it.Steps)
	for _, d := range it.Drift {
		hunk(b, d.Field, class, reasonDrift, d.Have, d.Want)
	}
	switch {
	case it.Observed.State == spec.Exited && hasVerb(it.Steps, spec.VerbStart):
		hunk(b, "status", spec.Restarted.String(), reasonDrift, liveText(it.Observed), string(spec.Running))
	case len(it.Changes) == 0 && len(it.Drift) == 0 && it.Move == nil:
		fmt.Fprintf(b, "@@ %s: %s, %s @@\n", it.Action, class, clean(cmp.Or(it.Reason, "no field differs")))
	}
}

// repairClass is what the steps cost the process, whatever made them necessary.
func repairClass(steps []spec.Step) string {
	c := spec.Live
	for _, s := range steps {
		switch s.Verb {
		case spec.VerbReload:
			c = max(c, spec.Reloaded)
		case spec.VerbStart, spec.VerbStop:
			c = max(c, spec.Restarted)
		case spec.VerbRemove:
			c = spec.Recreated
		}
	}
	return c.String()
}

func hasVerb(steps []spec.Step, v spec.Verb) bool {
	for _, s := range steps {
		if s.Verb == v {
			return true
		}
	}
	return false
}

// liveText is the state of a daemon that isn't running, with how it ended.
func liveText(o spec.Observed) string {
	if e := exitOf(o); e != nil {
		return string(o.State) + " (" + e.String() + ")"
	}
	return string(o.State)
}

// String is the exit for people, as in "exit status 1" or "killed by SIGKILL". The kernel kills for memory by a signal too, which says the least of it.
func (e *lastExit) String() string {
	how := "how is not known"
	switch {
	case e.Signal != "":
		how = "killed by " + e.Signal
	case e.Code != nil:
		how = fmt.Sprintf("exit status %d", *e.Code)
	}
	switch e.Reason {
	case exitStopped:
		return how + ", stopped by reconciler"
	case exitOOM:
		return exitOOM + ", by the kernel for its memory limit"
	}
	return how
}

func generation(s *spec.Stamp) int64 {
	if s == nil {
		return 0
	}
	return s.Generation
}

func header(b *bytes.Buffer, old, new string) {
	fmt.Fprintf(b, "--- %s\n+++ %s\n", clean(old), clean(new))
}

func hunk(b *bytes.Buffer, field, class, reason, old, new string) {
	fmt.Fprintf(b, "@@ %s: %s, %s @@\n", clean(field), class, clean(reason))
	lines(b, '-', old)
	lines(b, '+', new)
}

func lines(b *bytes.Buffer, sign byte, text string) {
	if text == "" {
		return
	}
	for line := range strings.Lines(text) {
		fmt.Fprintf(b, "%c%s\n", sign, clean(strings.TrimSuffix(line, "\n")))
	}
}

// document is a daemon as the YAML that a person would write.
func document(m spec.Metadata, s spec.Spec) string {
	return asYAML(struct {
		Metadata spec.Metadata `json:"metadata"`
		Spec     spec.Spec     `json:"spec"`
	}{m, public(s)})
}

// asYAML is v as YAML for people; v is one of our types, which all marshal.
func asYAML(v any) string {
	y, err := yaml.Marshal(v)
	if err != nil {
		return "(" + err.Error() + ")\n"
	}
	return string(y)
}

// paint colours a diff as git does.
func paint(diff []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(diff) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		code := ""
		switch {
		case bytes.HasPrefix(line, []byte("---")), bytes.HasPrefix(line, []byte("+++")):
			code = "1" // bold
		case bytes.HasPrefix(line, []byte("@@")):
			code = "36" // cyan
		case bytes.HasPrefix(line, []byte("-")):
			code = "31" // red
		case bytes.HasPrefix(line, []byte("+")):
			code = "32" // green
		}
		if code == "" {
			fmt.Fprintf(&b, "%s\n", line)
			continue
		}
		fmt.Fprintf(&b, "\x1b[%sm%s\x1b[m\n", code, line)
	}
	return b.Bytes()
}
