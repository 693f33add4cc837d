package drivers_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/binstore"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// workshop is a fixture with a store of programs, all of which sleep.
type workshop struct {
	*fixture
	store *binstore.Store
	real  map[string]int // processes that stand for the simulated ones
}

func newWorkshop(t *testing.T) *workshop {
	f := newFixture(t)
	s := &workshop{f, binstore.New(f.dirs), map[string]int{}}
	f.Driver = drivers.Decorate(&standIn{f.fake, s.real}, f.dirs)
	return s
}

// standIn shows a real process in the place of a simulated one.
type standIn struct {
	drivers.Driver
	real map[string]int
}

func (s *standIn) Unwrap() drivers.Driver { return s.Driver }

func (s *standIn) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	found, err := s.Driver.Observe(ctx, names...)
	for i, o := range found {
		if pid, ok := s.real[o.Name]; ok && o.Instance != nil {
			in := *o.Instance
			in.PID, in.StartTicks = pid, 0
			if st, err := procfs.ReadStat(pid); err == nil {
				in.StartTicks = st.Start
			}
			found[i].Instance = &in
		}
	}
	return found, err
}

// sleeper is a program that no other number gives.
func sleeper(t *testing.T, n int) []byte {
	t.Helper()
	b, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, byte(n))
}

// put puts a program into the store.
func (s *workshop) put(program []byte) string {
	s.t.Helper()
	digest := driverstest.ContentDigest(program)
	if err := s.store.Put(s.t.Context(), digest, int64(len(program)), 0, bytes.NewReader(program)); err != nil {
		s.t.Fatal(err)
	}
	return digest
}

// wants is a daemon whose program is installed at a path.
func (s *workshop) wants(digest, to string) *spec.Daemon {
	d := s.daemon("web")
	d.Spec.Binary, d.Spec.Install = to, &spec.Install{To: to, Digest: digest, Keep: 1}
	d.Digest = digest
	return d
}

// runs starts a real process of a program, to stand for a daemon's.
func (s *workshop) runs(name, path string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.real[name] = cmd.Process.Pid
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// drift is that of the daemon web, field and class.
func (s *workshop) drift() (all []string) {
	for _, d := range s.observe("web").Drift {
		all = append(all, d.Field+" "+d.Class.String())
	}
	return all
}

func (s *workshop) drifts(want ...string) {
	s.t.Helper()
	if got := s.drift(); !slices.Equal(got, want) {
		s.t.Errorf("drift is %q, want %q", got, want)
	}
}

func TestAProgramIsPutAtItsPlace(t *testing.T) {
	s := newWorkshop(t)
	to := s.path("bin/worker")
	d := s.wants(s.put(sleeper(t, 1)), to)
	s.must(spec.VerbInstall, d)
	s.must(spec.VerbStart, d)
	s.holds(to, string(sleeper(t, 1)))
	s.drifts()
	for what, harm := range map[string]struct {
		do   func() error
		want string
	}{
		"it is gone":           {func() error { return os.Remove(to) }, "spec.install.to live"},
		"it was written to":    {func() error { return os.WriteFile(to, sleeper(t, 2), 0o755) }, "spec.install.to live"},
		"it lost its rights":   {func() error { return os.Chmod(to, 0o600) }, "spec.install.mode live"},
		"it is a link":         {func() error { return errors.Join(os.Remove(to), os.Symlink("/bin/sleep", to)) }, "spec.install.to live"},
		"it is another's file": {func() error { return errors.Join(os.WriteFile(to+"2", nil, 0o755), os.Rename(to+"2", to)) }, "spec.install.to live"},
	} {
		if err := harm.do(); err != nil {
			t.Fatal(err)
		}
		if got := s.drift(); !slices.Equal(got, []string{harm.want}) {
			t.Errorf("%s: drift is %q", what, got)
		}
		s.must(spec.VerbInstall, d)
		s.drifts()
		s.holds(to, string(sleeper(t, 1)))
	}
}

// TestAProgramThatCannotBeExecuted leaves the one before where it is.
func TestAProgramThatCannotBeExecuted(t *testing.T) {
	foreign := sleeper(t, 0)
	foreign[18], foreign[19] = 2, 0 // e_machine: SPARC
	for what, c := range map[string]struct {
		program []byte
		want    string
		kind    error
	}{
		"of another architecture": {foreign, "built for EM_SPARC", drivers.ErrPermanent},
		"half of it":              {sleeper(t, 0)[:9000], "cut short", drivers.ErrPermanent},
		"without interpreter":     {[]byte("#!/no/such/thing\n"), `"/no/such/thing" is missing`, drivers.ErrPermanent},
		"of which nothing came":   {nil, "apply its manifest again", drivers.ErrNotFound},
	} {
		s := newWorkshop(t)
		to := s.path("worker")
		old := s.wants(s.put(sleeper(t, 1)), to)
		s.must(spec.VerbInstall, old)
		s.must(spec.VerbStart, old)
		digest := driverstest.ContentDigest([]byte("never put"))
		if c.program != nil {
			digest = s.put(c.program)
		}
		err := s.Apply(t.Context(), s.step(spec.VerbInstall, s.wants(digest, to)))
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
		s.holds(to, string(sleeper(t, 1)))
		s.drifts()
	}
}

// TestAProgramThatTheUserMayNotExecute is found once it is at its place: the one before comes back.
func TestAProgramThatTheUserMayNotExecute(t *testing.T) {
	s := newWorkshop(t)
	dir, err := os.MkdirTemp("/tmp", "program-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "worker")
	old := s.wants(s.put(sleeper(t, 1)), to)
	old.Spec.User = "nobody"
	s.must(spec.VerbInstall, old)
	s.must(spec.VerbStart, old)
	next := s.wants(s.put(sleeper(t, 2)), to)
	next.Spec.User, next.Spec.Install.Mode = "nobody", new(spec.Mode)
	*next.Spec.Install.Mode = 0o700
	err = s.Apply(t.Context(), s.step(spec.VerbInstall, next))
	if !errors.Is(err, drivers.ErrPermanent) || !strings.Contains(err.Error(), "user nobody can't execute "+to) {
		t.Errorf("got %v", err)
	}
	s.holds(to, string(sleeper(t, 1)))
	s.drifts()
}

func TestAStrangersProgramIsNotTouched(t *testing.T) {
	s := newWorkshop(t)
	to := s.path("worker")
	s.write(to, "theirs")
	step := s.step(spec.VerbInstall, s.wants(s.put(sleeper(t, 1)), to))
	if err := s.Apply(t.Context(), step); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), to) {
		t.Errorf("got %v", err)
	}
	s.holds(to, "theirs")
	step.Force = true
	if err := s.Apply(t.Context(), step); err != nil {
		t.Error(err)
	}
	s.holds(to, string(sleeper(t, 1)))
}

func TestUninstall(t *testing.T) {
	s := newWorkshop(t)
	to := s.path("worker")
	digest := s.put(sleeper(t, 1))
	d := s.wants(digest, to)
	s.must(spec.VerbInstall, d)
	s.must(spec.VerbStart, d)
	if err := s.Apply(t.Context(), s.step(spec.VerbUninstall, d)); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), "stop web") {
		t.Errorf("of what runs: %v", err)
	}
	s.must(spec.VerbStop, d)
	s.write(to, "changed")
	step := s.step(spec.VerbUninstall, d)
	if err := s.Apply(t.Context(), step); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), "--force") {
		t.Errorf("of what somebody changed: %v", err)
	}
	s.holds(to, "changed")
	step.Force = true
	for range 2 {
		if err := s.Apply(t.Context(), step); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(to); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if _, whole, _ := s.store.Have(digest); whole {
		t.Error("it is still kept")
	}
	s.drifts("spec.install.to live")
}

// TestRemoveLetsGoOfTheProgram, which stays where it was put until it is uninstalled, and isn't kept for an undo.
func TestRemoveLetsGoOfTheProgram(t *testing.T) {
	s := newWorkshop(t)
	to := s.path("worker")
	digest := s.put(sleeper(t, 1))
	d := s.wants(digest, to)
	for _, verb := range []spec.Verb{spec.VerbInstall, spec.VerbStart, spec.VerbStop, spec.VerbRemove} {
		s.must(verb, d)
	}
	s.holds(to, string(sleeper(t, 1)))
	if err := s.store.Sweep(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, whole, _ := s.store.Have(digest); !whole {
		t.Error("what a daemon was just removed of is swept: its successor may want it")
	}
	if err := s.store.Sweep(t.Context(), -time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, whole, _ := s.store.Have(digest); whole {
		t.Error("it is never swept")
	}
	s.must(spec.VerbUninstall, d)
	if _, err := os.Lstat(to); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.dirs.State, "programs")); len(left) > 0 {
		t.Errorf("records are left: %v", left)
	}
}

// TestOnlyAsManyProgramsAreKept as install.keep says, and one in any case.
func TestOnlyAsManyProgramsAreKept(t *testing.T) {
	for keep, want := range map[int]int{0: 2, 1: 2, 3: 4} {
		s := newWorkshop(t)
		var d *spec.Daemon
		for i := range 6 {
			d = s.wants(s.put(sleeper(t, i)), s.path("worker"))
			d.Spec.Install.Keep = keep
			s.must(spec.VerbInstall, d)
			if i > 0 {
				s.must(spec.VerbStop, d)
			}
			s.must(spec.VerbStart, d)
		}
		kept := 0
		for i := range 6 {
			if _, whole, _ := s.store.Have(driverstest.ContentDigest(sleeper(t, i))); whole {
				kept++
			}
		}
		if kept != want {
			t.Errorf("keep %d: %d are kept, want %d", keep, kept, want)
		}
	}
}

// turn has a link lead to another file, as ln -sfn does.
func turn(link, to string) error {
	return errors.Join(os.Symlink(to, link+".new"), os.Rename(link+".new", link))
}

// TestChecksOfAProgram refuse before anything is touched what surely can't be executed, and nothing that is yet to be installed.
func TestChecksOfAProgram(t *testing.T) {
	s := newWorkshop(t)
	c, ok := drivers.Find[drivers.Checker](s.Driver)
	if !ok {
		t.Fatal("nothing checks")
	}
	broken := s.path("broken")
	s.write(broken, "#!/no/such/interpreter\n")
	if err := os.Chmod(broken, 0o755); err != nil {
		t.Fatal(err)
	}
	d := s.daemon("web")
	d.Spec.Binary = broken
	if _, err := c.Check(t.Context(), d); !errors.Is(err, drivers.ErrPermanent) || !strings.Contains(err.Error(), "/no/such/interpreter") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Check(t.Context(), s.wants(driverstest.ContentDigest(nil), s.path("not yet"))); err != nil {
		t.Errorf("what is yet to be installed: %v", err)
	}
}
