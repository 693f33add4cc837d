package e2e

import (
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// machine is what one test has for itself: a directory, and in it an instance of reconciler with all that it keeps.
type machine struct {
	t    testing.TB
	dir  string // manifests, configs and what witnesses testify
	root string // what reconciler keeps
	mark mark
	bin  string // the program under test
	// drivers are those that it may choose from.
	drivers string
	// set is the owner set, and suffix what all names end in, where the service manager isn't the test's own: see amongOthers.
	set, suffix string

	mu         sync.Mutex
	ends       []*command // what the end of the test has to end
	transcript []*command
}

// patience is how long anything may take that takes an instant on an idle machine.
const patience = time.Minute

// newMachine returns a machine, and sees to it that at the end of the test nothing of it is left: every daemon is deleted, and what lives all the same is an
// error of the test, and is killed.
func newMachine(t testing.TB) *machine {
	t.Helper()
	dir, err := os.MkdirTemp(bin, "machine-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, root: filepath.Join(dir, "root"), mark: newMark(), bin: reconciler(t), drivers: "process"}
	t.Cleanup(m.end)
	return m
}

// amongOthers makes the daemons of the machine ones that stand beside those of other tests, in one service manager.
func (m *machine) amongOthers() {
	m.suffix = "-" + strings.ToLower(crand.Text()[:8])
	m.set = "set" + m.suffix
}

// withSet adds the owner set to a command that has one.
func (m *machine) withSet(args []string) []string {
	if m.set == "" || !slices.Contains([]string{"apply", "run", "diff", "plan"}, args[0]) {
		return args
	}
	return append([]string{args[0], "--set=" + m.set}, args[1:]...)
}

// end ends everything and checks that nothing is left.
func (m *machine) end() {
	m.mu.Lock()
	ends := slices.Clone(m.ends)
	m.mu.Unlock()
	for _, c := range ends {
		c.kill()
	}
	names := slices.DeleteFunc(strings.Fields(m.run("get", "-o", "name").stdout.String()), func(n string) bool { return !strings.HasSuffix(n, m.suffix) })
	if len(names) > 0 {
		m.ok(append([]string{"delete", "--now", "--force"}, names...)...)
	}
	for deadline := time.Now().Add(patience); len(m.holders()) > 0 && time.Now().Before(deadline); { // it ends a second after it has nothing to hold any more
		time.Sleep(20 * time.Millisecond)
	}
	for _, p := range m.mark.alive(m.t) {
		m.t.Errorf("left alive after everything was deleted: %v", p)
		if err := m.mark.kill(p.pid); err != nil {
			m.t.Logf("kill it: %v", err)
		}
	}
	for _, left := range m.leftovers() {
		m.t.Errorf("left after everything was deleted: %s", left)
	}
	if found, _ := filepath.Glob(filepath.Join(m.dir, "*.duplicates")); found != nil {
		for _, path := range found {
			m.t.Errorf("more than one copy lived at once: %s: %s", filepath.Base(path), m.read(path))
		}
	}
	if m.t.Failed() {
		m.tell()
	}
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Error(err)
	}
}

// leftovers lists what may not be there once every daemon is deleted: what is kept of daemons till the reboot, and files on their way to be renamed. In the
// history such a file waits for the next revision of that number, as history does.
func (m *machine) leftovers() []string {
	var left []string
	err := filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(m.dir, path)
		if err == nil && !d.IsDir() && (strings.Contains(rel, "run/daemons/") || strings.Contains(rel, "run/cgroup/") || strings.Contains(rel, "run/status/") || strings.Contains(rel, "state/paused") || strings.Contains(rel, ".tmp-") && !strings.Contains(rel, "state/history/")) {
			left = append(left, rel)
		}
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
	if m.set != "" { // what others have in the same service manager is found here, too
		left = slices.DeleteFunc(left, func(path string) bool { return !strings.Contains(path, m.suffix) })
		units, _ := filepath.Glob("/*/systemd/system*/*" + m.suffix + "*")
		links, _ := filepath.Glob("/*/systemd/system*/*/*" + m.suffix + "*")
		left = append(append(left, units...), links...)
	}
	return left
}

// tell writes what was done on the machine and what came of it to the test's log.
func (m *machine) tell() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.transcript {
		m.t.Log(c)
	}
	logs, _ := filepath.Glob(filepath.Join(m.root, "log", "*.log"))
	for _, path := range logs {
		text := m.read(path)
		m.t.Logf("%s: %s", filepath.Base(path), text[max(0, len(text)-4096):])
	}
}

// path is the path of a file of the machine.
func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// write replaces a file of the machine as an editor does: by a new one that is renamed. It returns the file's path.
func (m *machine) write(name, text string) string {
	m.t.Helper()
	path := m.path(name)
	if err := errors.Join(
		os.MkdirAll(filepath.Dir(path), 0o755),
		os.WriteFile(path+".new~", []byte(text), 0o644),
		os.Rename(path+".new~", path)); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// remove removes a file of the machine.
func (m *machine) remove(name string) {
	m.t.Helper()
	if err := os.Remove(m.path(name)); err != nil {
		m.t.Fatal(err)
	}
}

// read returns the content of a file, empty where there is none.
func (m *machine) read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Error(err)
	}
	return string(text)
}

// eventually waits until is holds.
func (m *machine) eventually(what string, is func() bool) {
	m.t.Helper()
	m.settles(func() string {
		if is() {
			return ""
		}
		return what
	})
}

// settles waits until wrong has nothing to say.
func (m *machine) settles(wrong func() string) {
	m.t.Helper()
	deadline := time.Now().Add(patience)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		what := wrong()
		switch {
		case what == "":
			return
		case time.Now().After(deadline):
			m.t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(wait)
	}
}

// state is what get says of a daemon.
type state struct {
	Metadata struct{ Name string }
	Spec     struct{ Args []string }
	Status   struct {
		Phase      string
		Driver     string
		PID        int
		Restarts   int
		Generation int64
		Digest     string
		Set        string
		Holder     string
		Paused     *struct{ By string }
		LastExit   *struct {
			Code           *int
			Signal, Reason string
		}
		Conditions []struct{ Type, Status, Reason, Message string }
	}
}

// is returns the status of a condition.
func (s state) is(condition string) string {
	for _, c := range s.Status.Conditions {
		if c.Type == condition {
			return c.Status
		}
	}
	return ""
}

// message returns the message of a condition.
func (s state) message(condition string) string {
	for _, c := range s.Status.Conditions {
		if c.Type == condition {
			return c.Message
		}
	}
	return ""
}

// all returns what get says of the daemons of the machine.
func (m *machine) all() []state {
	m.t.Helper()
	var list struct{ Items []state }
	c := prepared{machine: m, quiet: true}.ok("get", "-o", "json")
	if err := json.Unmarshal([]byte(c.stdout.String()), &list); err != nil {
		m.t.Fatalf("get -o json: %v:\n%v", err, c)
	}
	return list.Items
}

// get returns what get says of a daemon; its phase is Absent where there is none.
func (m *machine) get(name string) state {
	m.t.Helper()
	for _, s := range m.all() {
		if s.Metadata.Name == name {
			return s
		}
	}
	var s state
	s.Status.Phase = "Absent"
	return s
}
