package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// observed is a driver that knows one daemon, as it is told.
type observed struct {
	drivers.Driver
	o spec.Observed
}

func (observed) Kind() spec.DriverKind { return spec.DriverProcess }

func (d observed) Observe(_ context.Context, names ...string) (found []spec.Observed, err error) {
	for _, name := range names {
		o := spec.Observed{Name: name, State: spec.Absent}
		if name == d.o.Name {
			o = d.o
		}
		found = append(found, o)
	}
	return found, nil
}

const twoInstances = "old 1\nold 2\nnew 1\nnew 2\nnew 3\n"

// logHost is a host where the daemon web logged text; its second instance began after "old 2\n".
func logHost(t *testing.T, text string) (h *Host, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "own.log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := spec.Stamp{Metadata: spec.Metadata{Name: "web"}}
	s.Spec.Log.Path = path
	o := spec.Observed{Name: "web", State: spec.Running, Stamp: &s, Instance: &spec.Instance{
		ID: "2", StartedAt: noon, LogStart: int64(len("old 1\nold 2\n")), Last: &spec.Exit{At: noon},
	}}
	return New(layout.Under(t.TempDir()), observed{o: o}), path
}

func logs(t *testing.T, h *Host, opts drivers.LogOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := h.Logs(t.Context(), "web", &b, opts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLogs(t *testing.T) {
	const timed = "2026-11-23T11:00:00Z a\n\tmore\n2026-11-23T13:00:00Z b\nmore\n"
	for _, c := range []struct {
		name, text string
		opts       drivers.LogOptions
		want       string
	}{
		{"all", twoInstances, drivers.LogOptions{Tail: -1}, twoInstances},
		{"the last lines", twoInstances, drivers.LogOptions{Tail: 2}, "new 2\nnew 3\n"},
		{"the last lines, and only so much of them", twoInstances, drivers.LogOptions{Tail: 2, Bytes: 10}, "w 2\nnew 3\n"},
		{"the last of all lines, and enough for more", twoInstances, drivers.LogOptions{Tail: 1, Bytes: 1000}, "new 3\n"},
		{"nothing of the past", twoInstances, drivers.LogOptions{Tail: 0}, ""},
		{"as they stand, also without an end", "a\x1b[31m\x00\nb", drivers.LogOptions{Tail: -1}, "a\x1b[31m\x00\nb"},
		{"an empty log", "", drivers.LogOptions{Tail: -1}, ""},
		{"the instance before", twoInstances, drivers.LogOptions{Tail: -1, Previous: true}, "old 1\nold 2\n"},
		{"the last lines of the instance before", twoInstances, drivers.LogOptions{Tail: 1, Previous: true}, "old 2\n"},
		{"since a time that lines tell", timed, drivers.LogOptions{Tail: -1, Since: noon}, "2026-11-23T13:00:00Z b\nmore\n"},
		{"since a time, and only the last", timed, drivers.LogOptions{Tail: 1, Since: noon}, "more\n"},
		{"since later than all that tell a time", timed, drivers.LogOptions{Tail: -1, Since: noon.AddDate(0, 0, 1)}, ""},
		{"since after the start, where no line tells a time", twoInstances, drivers.LogOptions{Tail: -1, Since: noon.Add(time.Minute)}, "new 1\nnew 2\nnew 3\n"},
		{"since before the start, where no line tells a time", twoInstances, drivers.LogOptions{Tail: -1, Since: noon.Add(-time.Minute)}, twoInstances},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _ := logHost(t, c.text)
			if got := logs(t, h, c.opts); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLogsOfWhatIsNotThere(t *testing.T) {
	h, path := logHost(t, "x\n")
	if err := h.Logs(t.Context(), "api", &bytes.Buffer{}, drivers.LogOptions{Tail: -1}); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("of an unknown daemon: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := logs(t, h, drivers.LogOptions{Tail: -1}); got != "" {
		t.Errorf("of a daemon that has no log yet: %q", got)
	}
	fresh := New(h.dirs, observed{o: spec.Observed{
		Name: "web", State: spec.Exited, Stamp: &spec.Stamp{}, Instance: &spec.Instance{ID: "1"},
	}})
	if err := fresh.Logs(t.Context(), "web", &bytes.Buffer{}, drivers.LogOptions{Tail: -1, Previous: true}); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("of the instance before the first: %v", err)
	}
	unknown := New(h.dirs, observed{o: spec.Observed{Name: "web", State: spec.Unknown, Message: "no answer"}})
	if err := unknown.Logs(t.Context(), "web", &bytes.Buffer{}, drivers.LogOptions{Tail: -1}); !errors.Is(err, drivers.ErrUnreachable) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("of a daemon that can't be looked at: %v", err)
	}
}

func TestTheLogOfADaemonThatIsGoneIsReadAtItsUsualPlace(t *testing.T) {
	h := newHost(t)
	if err := h.dirs.Make(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dirs.Log, "web.log"), []byte("last words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := logs(t, h, drivers.LogOptions{Tail: -1}); got != "last words\n" {
		t.Errorf("got %q", got)
	}
}

func TestFollowGoesOnFromTheTail(t *testing.T) {
	h, path := logHost(t, "1\n2\n3\n")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		defer w.Close()
		done <- h.Logs(ctx, "web", w, drivers.LogOptions{Follow: true, Tail: 1})
	}()
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := r.Read(got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	expect("3\n")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, line := range []string{"4\n", "5\n"} {
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
		expect(line)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// journaled is a driver whose daemons' output is elsewhere, unless they name a file.
type journaled struct{ observed }

func (journaled) LogPlace(*spec.Stamp) string { return "a journal" }

func (j journaled) Logs(_ context.Context, name string, w io.Writer, opts drivers.LogOptions) (bool, error) {
	if j.o.Stamp.Spec.Log.Path != "" {
		return false, nil
	}
	_, err := fmt.Fprintf(w, "%s: the last %d\n", name, opts.Tail)
	return true, err
}

// TestLogsOfADriverThatKeepsThem are the driver's, but for what goes to a file.
func TestLogsOfADriverThatKeepsThem(t *testing.T) {
	s := spec.Stamp{Metadata: spec.Metadata{Name: "web"}}
	h := New(layout.Under(t.TempDir()), journaled{observed{o: spec.Observed{Name: "web", State: spec.Running, Stamp: &s}}})
	if got := logs(t, h, drivers.LogOptions{Tail: 3}); got != "web: the last 3\n" {
		t.Errorf("got %q", got)
	}
	s.Spec.Log.Path = filepath.Join(t.TempDir(), "own.log")
	if err := os.WriteFile(s.Spec.Log.Path, []byte("in the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := logs(t, h, drivers.LogOptions{Tail: 3}); got != "in the file\n" {
		t.Errorf("got %q", got)
	}
}
