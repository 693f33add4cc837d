package systemd

import (
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler.dev/reconciler/pkg/spec"
)

func TestStates(t *testing.T) {
	for _, c := range []struct {
		active, sub string
		want        spec.State
		restarting  bool
	}{
		{"active", "running", spec.Running, false}, {"active", "exited", spec.Running, false}, {"reloading", "reload", spec.Running, false},
		{"activating", "start", spec.Starting, false}, {"activating", "start-post", spec.Starting, false},
		{"activating", "auto-restart", spec.Exited, true}, {"activating", "auto-restart-queued", spec.Exited, true},
		{"deactivating", "stop-sigterm", spec.Stopping, false}, {"deactivating", "final-sigkill", spec.Stopping, false},
		{"failed", "failed", spec.Exited, false}, {"inactive", "dead", spec.Exited, false}, {"inactive", "dead-before-auto-restart", spec.Exited, false}, {"", "", spec.Exited, false},
	} {
		if got, again := stateOf(c.active, c.sub); got != c.want || again != c.restarting {
			t.Errorf("%s/%s is %s, %v; want %s, %v", c.active, c.sub, got, again, c.want, c.restarting)
		}
	}
}

func TestExits(t *testing.T) {
	at := time.Unix(1700000000, 0)
	for _, c := range []struct {
		name string
		said facts
		want spec.Exit
	}{
		{"a status", facts{Code: exited, Status: 3, Ended: at}, spec.Exit{Known: true, Code: 3, At: at}},
		{"a signal", facts{Code: killed, Status: 15, Ended: at}, spec.Exit{Known: true, Signal: "SIGTERM", At: at}},
		{"a core dump", facts{Code: dumped, Status: 11, Ended: at}, spec.Exit{Known: true, Signal: "SIGSEGV", At: at}},
		{"out of memory", facts{Code: killed, Status: 9, Result: "oom-kill", Ended: at}, spec.Exit{Known: true, Signal: "SIGKILL", OOMKilled: true, At: at}},
		{"nothing that was executed", facts{Result: "resources", Ended: at}, spec.Exit{At: at}},
	} {
		if d := cmp.Diff(c.want, *exitOf(c.said)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// TestNotes: what is noted after the manager said something, on top of what was noted before.
func TestNotes(t *testing.T) {
	at := time.Unix(1700000000, 0)
	stamp := &spec.Stamp{Digest: "d2", Generation: 2, Spec: spec.Spec{Restart: spec.Restart{Backoff: spec.Backoff{ResetAfter: spec.Duration(time.Minute)}}}}
	running := func() *spec.Instance {
		return &spec.Instance{ID: "a", PID: 1 << 30, StartedAt: at, Generation: 1, SpecDigest: "d1", Restarts: 2, Attempts: 1, LogStart: 7}
	}
	ended := func(e spec.Exit) *spec.Instance {
		i := running()
		i.Exit = &e
		return i
	}
	five := spec.Exit{Known: true, Code: 5, At: at.Add(time.Second)}
	for _, c := range []struct {
		name  string
		was   note
		said  facts
		alive bool
		want  note
	}{
		{"the first instance", note{}, facts{Invocation: "a", MainPID: 1 << 30, Began: at}, true,
			note{Instance: &spec.Instance{ID: "a", PID: 1 << 30, StartedAt: at, Generation: 2, SpecDigest: "d2"}}},
		{"none ever", note{}, facts{}, false, note{}},
		{"the same, with another main process", note{Instance: running(), Before: 2}, facts{Invocation: "a", MainPID: 1<<30 + 1, Began: at}, true,
			note{Before: 2, Instance: func() *spec.Instance { i := running(); i.PID++; return i }()}},
		{"its end", note{Instance: running()}, facts{Invocation: "a", Code: exited, Status: 5, Ended: five.At}, false, note{Instance: ended(five)}},
		{"an end that the manager has forgotten is a good one", note{Instance: running()}, facts{}, false, note{Guessed: true, Instance: ended(spec.Exit{Known: true})}},
		{"unless we asked for it", note{Instance: running(), Asked: "a"}, facts{}, false, note{Asked: "a", Guessed: true, Instance: ended(spec.Exit{Asked: true})}},
		{"what was guessed is put right", note{Guessed: true, Instance: ended(spec.Exit{Known: true, At: at})}, facts{Invocation: "a", Code: killed, Status: 15, Ended: five.At}, false,
			note{Instance: ended(spec.Exit{Known: true, Signal: "SIGTERM", At: five.At})}},
		{"what is known stays", note{Instance: ended(five)}, facts{}, false, note{Instance: ended(five)}},
		{"a restart by the manager", note{Instance: ended(five), Before: 2}, facts{Invocation: "b", MainPID: 1 << 30, Restarts: 1, Began: at.Add(2 * time.Second)}, true,
			note{Before: 2, Instance: &spec.Instance{ID: "b", PID: 1 << 30, StartedAt: at.Add(2 * time.Second), Generation: 2, SpecDigest: "d2", Restarts: 3, Attempts: 2, LogStart: 7, LastLogStart: 7, Last: &five}}},
		{"two of them, of which one was missed", note{Instance: running(), Before: 2}, facts{Invocation: "c", MainPID: 1 << 30, Restarts: 2, Began: at.Add(2 * time.Second)}, true,
			note{Before: 2, Instance: &spec.Instance{ID: "c", PID: 1 << 30, StartedAt: at.Add(2 * time.Second), Generation: 2, SpecDigest: "d2", Restarts: 4, Attempts: 3, LogStart: 7, LastLogStart: 7, Last: &spec.Exit{At: at.Add(2 * time.Second)}}}},
		{"a start by hand, which has the manager count anew", note{Instance: ended(five), Before: 0}, facts{Invocation: "b", MainPID: 1 << 30, Began: at.Add(2 * time.Second)}, true,
			note{Before: 2, Instance: &spec.Instance{ID: "b", PID: 1 << 30, StartedAt: at.Add(2 * time.Second), Generation: 2, SpecDigest: "d2", Restarts: 2, Attempts: 1, LogStart: 7, LastLogStart: 7, Last: &five}}},
		{"one that ended before it was seen", note{}, facts{Invocation: "a", ExecPID: 1 << 30, Began: at, Code: exited, Status: 5, Ended: five.At}, false,
			note{Instance: &spec.Instance{ID: "a", PID: 1 << 30, StartedAt: at, Generation: 2, SpecDigest: "d2", Exit: &five}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.was
			got := c.was.after(c.said, stamp, c.alive, "boot")
			ignore := cmp.Options{cmpopts.IgnoreFields(note{}, "Ended"), cmpopts.IgnoreFields(spec.Instance{}, "BootID"),
				cmpopts.IgnoreFields(spec.Exit{}, "Since"), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Instance.Exit.At" && got.Guessed }, cmp.Ignore())}
			if d := cmp.Diff(c.want, *got, ignore); d != "" {
				t.Errorf("noted is another (-want +got):\n%s", d)
			}
			if i := got.Instance; i != nil && i.Exit != nil && (c.was.Instance == nil || c.was.Instance.Exit == nil) && got.Ended == 0 {
				t.Error("nothing says when it ended")
			}
			if d := cmp.Diff(before, c.was); d != "" {
				t.Errorf("what was noted before was changed:\n%s", d)
			}
		})
	}
}

// TestHearing: of what the manager tells, only what happens to a service is news, and each of it once.
func TestHearing(t *testing.T) {
	change := func(unit string, kv ...any) *dbus.Signal {
		changed := map[string]dbus.Variant{}
		for i := 0; i < len(kv); i += 2 {
			changed[kv[i].(string)] = dbus.MakeVariant(kv[i+1])
		}
		return &dbus.Signal{Path: unitPath(unit), Name: propertiesChange, Body: []any{unitInterface, changed, []string{}}}
	}
	h := &hearing{news: make(chan struct{}, 1), seen: map[dbus.ObjectPath]*facts{}}
	for i, c := range []struct {
		what string
		s    *dbus.Signal
		want string // the unit that is news, or nothing
		end  bool
	}{
		{"a target", change("multi-user.target", "ActiveState", "active"), "", false},
		{"a start", change("web.service", "ActiveState", "activating", "SubState", "start"), "web.service", false},
		{"its process", change("web.service", "MainPID", uint32(7)), "web.service", false},
		{"that it runs", change("web.service", "ActiveState", "active", "SubState", "running"), "web.service", false},
		{"the same again", change("web.service", "ActiveState", "active", "SubState", "running", "MainPID", uint32(7)), "", false},
		{"another service", change("api.service", "ActiveState", "active", "SubState", "running"), "api.service", false},
		{"a main process that took over", change("web.service", "MainPID", uint32(8)), "web.service", false},
		{"the end of that", change("web.service", "MainPID", uint32(0), "ExecMainCode", int32(exited), "ExecMainStatus", int32(4)), "", false},
		{"the end", change("web.service", "ActiveState", "inactive", "SubState", "dead"), "web.service", true},
	} {
		h.hear(c.s)
		got, missed := h.take()
		if missed || (len(got) == 1) != (c.want != "") || len(got) > 1 {
			t.Fatalf("%d, %s: heard %+v", i, c.what, got)
		}
		if len(got) == 1 && (got[0].unit != c.want || got[0].ended != c.end) {
			t.Errorf("%s: heard %+v", c.what, got)
		}
	}
	h.hear(&dbus.Signal{Name: managerInterface + ".Reloading", Body: []any{true}})
	if _, missed := h.take(); missed {
		t.Error("while the manager reloads there is nothing to look at yet")
	}
	h.hear(&dbus.Signal{Name: managerInterface + ".Reloading", Body: []any{false}})
	if _, missed := h.take(); !missed {
		t.Error("after a reload all may be another")
	}
}
