package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

const hostOf = `apiVersion: reconciler.dev/v1
kind: Host
metadata: {name: %s, labels: {gpu: "yes"}}
---
`

// fleetDir is a folder with a fleet's manifests, one of hosts, and the source of both.
type fleetDir struct {
	sourceDir
	fleet *FleetSource

	mu       sync.Mutex
	problems []string
	news     chan string // the same
}

// newFleetDir has web here, and train on gpu-1 and gpu-2. This machine calls itself desk.
func newFleetDir(t *testing.T) *fleetDir {
	t.Helper()
	dir := t.TempDir()
	f := &fleetDir{sourceDir: sourceDir{t: t, dir: dir}, news: make(chan string, 100)}
	f.fleet = NewFleetSource([]string{filepath.Join(dir, "manifests")}, FleetOptions{
		FileOptions: FileOptions{
			Load:   spec.LoadOptions{Hosts: []string{filepath.Join(dir, "hosts.d")}},
			Report: func(err error) { t.Errorf("reported: %v", err) },
		},
		Here: func([]spec.HostManifest) (func(string) bool, error) {
			return func(host string) bool { return host == "desk" }, nil
		},
		Problem: func(host string, err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.problems = append(f.problems, fmt.Sprintf("%s: %v", host, err))
			f.news <- f.problems[len(f.problems)-1]
		},
	})
	f.write("manifests/web.yaml", fmt.Sprintf(manifestOf, "web")+"  host: desk\n")
	f.write("manifests/train.yaml", fmt.Sprintf(manifestOf, "train")+"  hostSelector: {matchLabels: {gpu: \"yes\"}}\n  env: {TOKEN: {fromFile: ../etc/token}}\n")
	f.write("manifests/hosts.yaml", fmt.Sprintf(hostOf, "gpu-1"))
	f.write("hosts.d/gpu-2.yaml", fmt.Sprintf(hostOf, "gpu-2"))
	f.write("etc/token", "hunter2")
	return f
}

// watchFleet watches until the test ends. told waits for a load and returns what it found, as HOST: DAEMON ...
func (f *fleetDir) watchFleet() (told func() string) {
	f.t.Helper()
	fleets := make(chan Fleet, 100)
	run(f.t, func(ctx context.Context) error { return f.fleet.Watch(ctx, func(now Fleet) { fleets <- now }) })
	return func() string {
		f.t.Helper()
		select {
		case now := <-fleets:
			return toldFleet(now)
		case <-time.After(20 * time.Second):
			f.t.Fatal("no change was told")
			return ""
		}
	}
}

func toldFleet(f Fleet) string {
	var out []string
	for _, p := range f.Placements {
		var line strings.Builder
		line.WriteString(p.Host + ":")
		for _, m := range p.Daemons {
			line.WriteString(" " + m.Metadata.Name)
		}
		out = append(out, line.String())
	}
	return strings.Join(out, ", ")
}

// run runs something until the test ends.
func run(t *testing.T, do func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch = %v", err)
		}
	})
}

// follow watches one host's part, and returns what waits until that is told of a change.
func (f *fleetDir) follow(src Source) (told func()) {
	f.t.Helper()
	changes := make(chan struct{}, 1)
	run(f.t, func(ctx context.Context) error { return src.Watch(ctx, func() { signal(changes) }) })
	return func() {
		f.t.Helper()
		select {
		case <-changes:
		case <-time.After(20 * time.Second):
			f.t.Fatal("the host was told of no change")
		}
	}
}

// await waits until the fleet is as it should be.
func await(t *testing.T, told func() string, want string) {
	t.Helper()
	for got := ""; got != want; {
		if got = told(); got != want {
			t.Logf("%s, and not yet %s", got, want)
		}
	}
}

func (f *fleetDir) loadHost(src Source) string {
	f.t.Helper()
	ds, err := src.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Join(namesOf(ds), " ")
}

func TestAFleetIsReadOnceForAllItsHosts(t *testing.T) {
	f := newFleetDir(t)
	got, err := f.fleet.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(": web, gpu-1: train, gpu-2: train", toldFleet(got)); diff != "" || len(got.Hosts) != 2 {
		t.Errorf("%d hosts, %s", len(got.Hosts), diff)
	}
	if err := os.RemoveAll(filepath.Join(f.dir, "manifests")); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"": "web", "gpu-1": "train", "gpu-2": "train", "gpu-3": ""} {
		if got := f.loadHost(f.fleet.For(host, Reached{})); got != want {
			t.Errorf("host %q is to have %q, want %q", host, got, want)
		}
	}
}

func TestWhoAsksFirstLoads(t *testing.T) {
	f := newFleetDir(t)
	if got := f.loadHost(f.fleet.For("gpu-1", Reached{})); got != "train" {
		t.Errorf("gpu-1 is to have %q", got)
	}
	if got := toldFleet(f.fleet.Fleet()); got == "" {
		t.Error("nothing was loaded")
	}
	broken := NewFleetSource([]string{filepath.Join(f.dir, "none")}, FleetOptions{})
	if _, err := broken.For("gpu-1", Reached{}).Load(t.Context()); err == nil {
		t.Error("a source that can't be loaded declares something")
	}
}

func TestHostsComeAndGoWithTheirManifests(t *testing.T) {
	f := newFleetDir(t)
	told := f.watchFleet()
	await(t, told, ": web, gpu-1: train, gpu-2: train")
	two := f.fleet.For("gpu-2", Reached{})
	toldTwo := f.follow(two)
	toldTwo() // that it is armed
	f.write("hosts.d/gpu-3.yaml", fmt.Sprintf(hostOf, "gpu-3"))
	await(t, told, ": web, gpu-1: train, gpu-2: train, gpu-3: train")
	if err := os.Remove(filepath.Join(f.dir, "hosts.d/gpu-2.yaml")); err != nil {
		t.Fatal(err)
	}
	await(t, told, ": web, gpu-1: train, gpu-3: train")
	toldTwo()
	if got := f.loadHost(two); got != "" {
		t.Errorf("gpu-2 is still to have %q", got)
	}
}

func TestOnlyThoseHostsAreToldWhoseWantsChanged(t *testing.T) {
	f := newFleetDir(t)
	told := f.watchFleet()
	await(t, told, ": web, gpu-1: train, gpu-2: train")
	one, here := f.fleet.For("gpu-1", Reached{}), make(chan struct{}, 10)
	toldOne := f.follow(one)
	toldOne()
	run(t, func(ctx context.Context) error {
		return f.fleet.For("", Reached{}).Watch(ctx, func() { here <- struct{}{} })
	})
	<-here
	digest := func() string {
		ds, err := one.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ds[0].Digest
	}
	before := digest()
	f.write("etc/token", "hunter3")
	toldOne()
	if digest() == before {
		t.Error("the secret changed, but the daemon's digest didn't")
	}
	select {
	case <-here:
		t.Error("this machine was told of a change that isn't one to it")
	default:
	}
}

func TestABrokenManifestChangesNothingAnywhere(t *testing.T) {
	for name, broken := range map[string]string{
		"no YAML":                      "{",
		"a selector without hosts":     fmt.Sprintf(manifestOf, "more") + "  hostSelector: {matchLabels: {gpu: \"no\"}}\n",
		"a secret that isn't there":    fmt.Sprintf(manifestOf, "more") + "  host: gpu-1\n  env: {T: {fromFile: ../etc/none}}\n",
		"a program that isn't here":    strings.Replace(fmt.Sprintf(manifestOf, "more"), "/bin/true", "../bin/none", 1),
		"a relative program elsewhere": strings.Replace(fmt.Sprintf(manifestOf, "more"), "/bin/true", "../bin/none", 1) + "  host: gpu-1\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleetDir(t)
			f.fleet.files.every = time.Millisecond
			told := f.watchFleet()
			await(t, told, ": web, gpu-1: train, gpu-2: train")
			f.write("manifests/more.yaml", broken)
			for !slices.ContainsFunc(f.reported(), func(p string) bool {
				return strings.HasPrefix(p, ": keep the last good set") && strings.Contains(p, "more.yaml")
			}) {
				time.Sleep(time.Millisecond)
			}
			if err := os.Remove(filepath.Join(f.dir, "hosts.d/gpu-2.yaml")); err != nil { // not before: a load that is under way may have seen the one and not the other
				t.Fatal(err)
			}
			if fleet, err := f.fleet.Load(t.Context()); err == nil {
				t.Errorf("it was loaded: %s", toldFleet(fleet))
			}
			for host, want := range map[string]string{"": "web", "gpu-1": "train", "gpu-2": "train"} {
				if got := f.loadHost(f.fleet.For(host, Reached{})); got != want {
					t.Errorf("host %q is to have %q, want %q", host, got, want)
				}
			}
			if err := os.Remove(filepath.Join(f.dir, "manifests/more.yaml")); err != nil {
				t.Fatal(err)
			}
			await(t, told, ": web, gpu-1: train")
			if all := f.reported(); all[len(all)-1] != ": <nil>" {
				t.Errorf("that it is over is not reported: %q", all)
			}
		})
	}
}

func (f *fleetDir) reported() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.problems)
}

func TestProgramsAreLookedUpOnTheirHostOnceForAChange(t *testing.T) {
	f := newFleetDir(t)
	f.write("manifests/named.yaml", strings.Replace(fmt.Sprintf(manifestOf, "named"), "/bin/true", "tool", 1)+"  host: gpu-1\n")
	asked := map[string]int{}
	answer := errors.New("the link is down")
	one := f.fleet.For("gpu-1", Reached{LookPath: func(_ context.Context, name string) (string, error) {
		asked[name]++
		return "/opt/" + name, answer
	}})
	if _, err := one.Load(t.Context()); !errors.Is(err, answer) || !strings.Contains(err.Error(), "gpu-1") {
		t.Errorf("Load = %v", err)
	}
	answer = fs.ErrNotExist
	if _, err := one.Load(t.Context()); err == nil || !strings.Contains(err.Error(), `"tool" is not found on host gpu-1`) {
		t.Errorf("Load = %v", err)
	}
	answer = nil
	for range 3 {
		ds, err := one.Load(t.Context())
		if err != nil || ds[0].Spec.Binary != "/opt/tool" || ds[1].Spec.Binary != "/bin/true" {
			t.Fatalf("%v, %v", namesOf(ds), err)
		}
		if _, err := f.fleet.Load(t.Context()); err != nil { // and finds everything as it was
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]int{"tool": 3}, asked); diff != "" {
		t.Error(diff)
	}
	answer = errors.New("down again")
	f.write("manifests/named.yaml", strings.Replace(fmt.Sprintf(manifestOf, "named"), "/bin/true", "tool2", 1)+"  host: gpu-1\n")
	if _, err := f.fleet.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ds, err := one.Load(t.Context()); err != nil || ds[0].Spec.Binary != "/opt/tool" {
		t.Errorf("%v, %v: the last good set is lost", namesOf(ds), err)
	}
	if got := f.reported(); len(got) != 1 || !strings.HasPrefix(got[0], "gpu-1: keep the last good set") {
		t.Errorf("reported %q", got)
	}
}

func TestAFleetIsChosenBeforeItIsPlaced(t *testing.T) {
	f := newFleetDir(t)
	f.fleet.o.Choose = func(ms []spec.Manifest) ([]spec.Manifest, error) {
		ms = slices.DeleteFunc(ms, func(m spec.Manifest) bool { return m.Metadata.Name != "train" })
		return ms, nil
	}
	got, err := f.fleet.Load(t.Context())
	if err != nil || toldFleet(got) != "gpu-1: train, gpu-2: train" {
		t.Errorf("%s, %v", toldFleet(got), err)
	}
	torn := errors.New("none matches")
	f.fleet.o.Choose = func([]spec.Manifest) ([]spec.Manifest, error) { return nil, torn }
	if _, err := f.fleet.Load(t.Context()); !errors.Is(err, torn) {
		t.Errorf("Load = %v", err)
	}
	f.fleet.o.Here = func([]spec.HostManifest) (func(string) bool, error) { return nil, torn }
	if _, err := f.fleet.Load(t.Context()); !errors.Is(err, torn) {
		t.Errorf("Load = %v", err)
	}
	if diff := cmp.Diff([]string{"gpu-1", "gpu-2"}, slices.Sorted(maps.Keys(f.fleet.hosts))); diff != "" {
		t.Errorf("a load that failed changed what hosts have: %s", diff)
	}
}

func TestHostsAloneAreNothingToRun(t *testing.T) {
	f := newFleetDir(t)
	alone := NewFleetSource([]string{filepath.Join(f.dir, "manifests/hosts.yaml")}, FleetOptions{})
	if _, err := alone.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "there are hosts in here, and no daemon") {
		t.Errorf("Load = %v", err)
	}
}
