package process

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

const someID = "2000000000000001"

// fullRecord has everything that a record may have.
func fullRecord(name string) *record {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	stamp := func(generation int64) *spec.Stamp {
		return &spec.Stamp{Metadata: spec.Metadata{Name: name, Labels: map[string]string{"a": "b"}}, Spec: want(name, "/bin/true", "x").Spec, Digest: "sha256:1",
			Owner: spec.Owner{Set: "s"}, Tool: "t", Generation: generation, AppliedAt: at}
	}
	return &record{
		Version: recordVersion, Name: name, Stamp: stamp(1), Ended: 5 * time.Second, Gone: true, Asked: true, By: &actor{PID: 7, StartTicks: 8, BootID: "b"},
		Instance: &spec.Instance{ID: someID, PID: 42, StartTicks: 43, BootID: "b", StartedAt: at, Exit: &spec.Exit{Known: true, Signal: "SIGKILL", At: at}},
		Intent:   &intent{Stamp: stamp(2), Instance: &spec.Instance{ID: "2000000000000002", StartedAt: at}},
	}
}

func TestRecordSurvivesTheFile(t *testing.T) {
	dirs := layout.Under(t.TempDir())
	s := newStore(dirs, spec.DriverProcess)
	first, second := fullRecord("web"), &record{Version: recordVersion, Name: "web", Stamp: fullRecord("web").Stamp}
	for i, r := range []*record{first, second, first, second, second} {
		if err := s.write(r); err != nil {
			t.Fatal(err)
		}
		for who, from := range map[string]*store{"the writer": s, "another": newStore(dirs, spec.DriverProcess)} {
			got, err := from.read("web")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(r, got); d != "" {
				t.Errorf("write %d: %s reads %s", i, who, d)
			}
		}
	}
	if names, err := s.names(); err != nil || len(names) != 1 || names[0] != "web" {
		t.Errorf("names %v, %v", names, err)
	}
	if fi, err := os.Stat(s.path("web")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	for range 2 {
		if err := s.remove("web"); err != nil {
			t.Error(err)
		}
	}
	if got, err := s.read("web"); got != nil || err != nil {
		t.Errorf("after the removal: %+v, %v", got, err)
	}
}

func TestRecordOutgrowsItsFile(t *testing.T) {
	s := newStore(layout.Under(t.TempDir()), spec.DriverProcess)
	r := fullRecord("web")
	for _, size := range []int{10, 3000, 9000, 100_000, 10} {
		next := *r
		next.Stamp = &spec.Stamp{Metadata: r.Stamp.Metadata, Tool: strings.Repeat("x", size)}
		if err := s.write(&next); err != nil {
			t.Fatal(err)
		}
		if got, err := s.read("web"); err != nil || len(got.Stamp.Tool) != size {
			t.Fatalf("%d: %v", size, err)
		}
	}
}

// TestUnreadableRecordIsNotAbsent: whatever stands in a record's place, it is an error that names the file, or what another made of it.
func TestUnreadableRecordIsNotAbsent(t *testing.T) {
	good, err := fullRecord("web").encode()
	if err != nil {
		t.Fatal(err)
	}
	with := func(old, new string) []byte { return fresh(bytes.Replace(good, []byte(old), []byte(new), 1)) }
	for name, c := range map[string]struct {
		content []byte
		mode    os.FileMode
		want    string
	}{
		"empty":                      {nil, 0o600, "neither of the two versions"},
		"garbage":                    {[]byte("hello"), 0o600, "neither"},
		"plain JSON":                 {good, 0o600, "neither"},
		"cut":                        {fresh(good)[:page], 0o600, "neither"},
		"zeros of this boot":         {make([]byte, 2*page), 0o600, "neither"},
		"bad checksum":               {bytes.Replace(fresh(good), []byte("SIGKILL"), []byte("SIGTERM"), 1), 0o600, "neither"},
		"no JSON":                    {fresh([]byte("{")), 0o600, "JSON"},
		"another daemon's":           {with(`"name":"web"`, `"name":"api"`), 0o600, `of daemon "api"`},
		"newer version":              {with(`"version":1`, `"version":2`), 0o600, "use the newer one"},
		"process 1":                  {with(`"pid":42`, `"pid":1`), 0o600, "1 is no process of ours"},
		"negative process":           {with(`"pid":42`, `"pid":-1`), 0o600, "-1 is no process of ours"},
		"huge process":               {with(`"pid":42`, `"pid":99999999`), 0o600, "no process of ours"},
		"process without start time": {with(`"startTicks":43`, `"startTicks":0`), 0o600, "which process 42"},
		"no tag":                     {with(someID, "web-1"), 0o600, "none of this driver"},
		"no stamp":                   {fresh([]byte(`{"version":1,"name":"web"}`)), 0o600, "no stamp"},
		"group readable":             {fresh(good), 0o640, "others may read or write it"},
		"world writable":             {fresh(good), 0o602, "others may read or write it"},
		"too long":                   {make([]byte, maxRecord+page), 0o600, "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(layout.Under(t.TempDir()), spec.DriverProcess)
			if err := s.makeDir(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.path("web"), c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(s.path("web"), c.mode); err != nil {
				t.Fatal(err)
			}
			wantUnreadable(t, s, c.want)
		})
	}
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"a link":      {func(p string) error { return os.Symlink("/etc/passwd", p) }, "symbolic link"},
		"a directory": {func(p string) error { return os.Mkdir(p, 0o700) }, "no regular file"},
		"a pipe":      {func(p string) error { return unix.Mkfifo(p, 0o600) }, "no regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(layout.Under(t.TempDir()), spec.DriverProcess)
			if err := s.makeDir(); err != nil {
				t.Fatal(err)
			}
			if err := c.make(s.path("web")); err != nil {
				t.Fatal(err)
			}
			wantUnreadable(t, s, c.want)
		})
	}
}

func wantUnreadable(t *testing.T, s *store, want string) {
	t.Helper()
	got, err := s.read("web")
	if got != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), s.path("web")) {
		t.Errorf("read %+v, %v; want an error with %q and the path", got, err, want)
	}
	if names, err := s.names(); err != nil || len(names) != 1 {
		t.Errorf("names %v, %v: it must not be forgotten", names, err)
	}
}

// TestRecordLostWithThePower: a file system may keep a new file's name and lose its content. Before this boot, nothing of it can be alive.
func TestRecordLostWithThePower(t *testing.T) {
	for name, content := range map[string][]byte{"empty": nil, "zeros": make([]byte, 2*page)} {
		s := newStore(layout.Under(t.TempDir()), spec.DriverProcess)
		if err := s.write(fullRecord("web")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.path("web"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		before := time.Now().Add(-procfs.SinceBoot() - time.Minute)
		if err := os.Chtimes(s.path("web"), before, before); err != nil {
			t.Fatal(err)
		}
		if got, err := s.read("web"); got != nil || err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if err := s.write(fullRecord("web")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := s.read("web"); got == nil || err != nil {
			t.Errorf("%s, written again: %v", name, err)
		}
	}
}

// TestTornWrite cuts a write off after each byte: the record is the old one or the new one.
func TestTornWrite(t *testing.T) {
	old, err := fullRecord("web").encode()
	if err != nil {
		t.Fatal(err)
	}
	changed := *fullRecord("web")
	changed.Gone = false
	next, err := changed.encode()
	if err != nil {
		t.Fatal(err)
	}
	file := fresh(old)
	for _, payload := range [][]byte{next, old, next} { // into each slot, the second time over what is there
		before := split(file)
		slot := 1 - before.slot
		wrote := line(before.size, before.seq+1, payload)
		for n := range before.size {
			torn := bytes.Clone(file)
			copy(torn[slot*before.size:], wrote[:n])
			got := split(torn)
			if !bytes.Equal(got.payload, before.payload) && !bytes.Equal(got.payload, payload) {
				t.Fatalf("cut off after %d bytes: %q", n, got.payload)
			}
		}
		copy(file[slot*before.size:], wrote)
		if got := split(file); !bytes.Equal(got.payload, payload) || got.seq != before.seq+1 {
			t.Fatalf("written whole: %q", got.payload)
		}
	}
}

// TestReadersSeeWholeRecords reads as fast as it can while another writes.
func TestReadersSeeWholeRecords(t *testing.T) {
	dirs := layout.Under(t.TempDir())
	w, r := newStore(dirs, spec.DriverProcess), newStore(dirs, spec.DriverProcess)
	write := func(i int) {
		rec := *fullRecord("web")
		rec.Stamp = &spec.Stamp{Metadata: rec.Stamp.Metadata, Generation: int64(i), Tool: strings.Repeat("x", i%500)}
		if err := w.write(&rec); err != nil {
			t.Error(err)
		}
	}
	write(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3000 {
			write(i)
		}
	}()
	last := int64(0)
	for {
		rec, err := r.read("web")
		if err != nil || len(rec.Stamp.Tool) != int(rec.Stamp.Generation)%500 || rec.Stamp.Generation < last {
			t.Fatalf("read generation %d after %d, %v", rec.Stamp.Generation, last, err)
		}
		last = rec.Stamp.Generation
		select {
		case <-done:
			return
		default:
		}
	}
}

// TestCachedRecordIsNeverStale writes through one store and reads through another, faster than the clock of files ticks.
func TestCachedRecordIsNeverStale(t *testing.T) {
	dirs := layout.Under(t.TempDir())
	w, r := newStore(dirs, spec.DriverProcess), newStore(dirs, spec.DriverProcess)
	for i := range int64(200) {
		rec := *fullRecord("web")
		rec.Stamp = &spec.Stamp{Metadata: rec.Stamp.Metadata, Generation: i}
		if err := w.write(&rec); err != nil {
			t.Fatal(err)
		}
		if got, err := r.read("web"); err != nil || got.Stamp.Generation != i {
			t.Fatalf("read generation %d, %v; want %d", got.Stamp.Generation, err, i)
		}
		if i%100 == 50 {
			time.Sleep(2 * clockStep) // from here on the file's time is trusted
			r.read("web")
		}
	}
}

func TestRecordName(t *testing.T) {
	for file, want := range map[string]string{"/x/web.json": "web", "web.1.json": "web.1", ".web.json.tmp-1": "", "web": "", ".json": "", "Web.json": "", "a/../b.json": "b"} {
		if got := recordName(file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func FuzzRecord(f *testing.F) {
	good, err := fullRecord("web").encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(fresh(good))
	f.Add(fresh([]byte(`{"version":1,"name":"web","stamp":{"metadata":{"name":"web"}},"instance":{"id":"` + someID + `","pid":-1}}`)))
	f.Add(bytes.Repeat([]byte(" "), 2*page))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, payload := range [][]byte{split(file).payload, file} {
			rec, err := decode("web", payload)
			if err != nil {
				continue
			}
			for _, i := range []*spec.Instance{rec.Instance, intended(rec)} {
				if i != nil && (tag(i) == 0 || i.PID < 0 || i.PID == 1 || i.PID > maxPID || i.PID > 0 && i.StartTicks == 0) {
					t.Errorf("a record is accepted that would lead signals to process %d", i.PID)
				}
			}
			again, err := json.Marshal(rec)
			if err != nil {
				t.Fatalf("what was read can't be written: %v", err)
			}
			back := split(fresh(again))
			if !bytes.Equal(back.payload, again) {
				t.Error("what was written can't be read")
			}
		}
	})
}

func intended(r *record) *spec.Instance {
	if r.Intent == nil {
		return nil
	}
	return r.Intent.Instance
}
