package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// builtOf declares a program that is built from src/**/*.go, for a host.
const builtOf = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: worker}
spec:
  host: HOST
  build: {command: [go, build], dir: ../src, inputs: ["**/*.go"], output: bin/worker, on: PLACE}
`

func built(host, place string) string {
	return strings.NewReplacer("HOST", host, "PLACE", place).Replace(builtOf)
}

// compiler makes of src/main.go the program of that digest, after as long as the test wants.
type compiler struct {
	f *fleetDir

	mu    sync.Mutex
	begun []string
	hold  map[string]chan struct{} // builds of that content wait until it is closed
}

func (c *compiler) programs() FindProgram {
	return func(ctx context.Context, host string, m *spec.Manifest, dir string) (*spec.Program, error) {
		text, err := os.ReadFile(filepath.Join(dir, m.Spec.Build.Dir, "main.go"))
		if err != nil {
			return nil, err
		}
		digest := strings.TrimSpace(string(text))
		c.mu.Lock()
		c.begun = append(c.begun, host+":"+digest)
		hold := c.hold[digest]
		c.mu.Unlock()
		if digest == "broken" {
			return nil, errors.New("it doesn't compile")
		}
		if hold != nil {
			select {
			case <-hold:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if m.Spec.Build.On == spec.BuildOnHost {
			return &spec.Program{Build: "of " + digest, Stale: "on the host"}, nil
		}
		return &spec.Program{Digest: "sha256:" + digest, Build: "of " + digest}, nil
	}
}

// newBuiltDir has worker on a host, and a compiler.
func newBuiltDir(t *testing.T, manifest string) (*fleetDir, *compiler) {
	f := newFleetDir(t)
	c := &compiler{f: f, hold: map[string]chan struct{}{}}
	f.fleet.files.o.Programs = c.programs
	f.fleet.o.Programs = c.programs
	f.fleet.files.o.Resolve.ProgramDir, f.fleet.o.Resolve.ProgramDir = "/here/bin", "/here/bin"
	f.write("manifests/worker.yaml", manifest)
	f.write("src/main.go", "1")
	return f, c
}

// worker is what worker is to be on a host.
func (f *fleetDir) worker(src Source) *spec.Daemon {
	f.t.Helper()
	ds, err := src.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, d := range ds {
		if d.Name == "worker" {
			return d
		}
	}
	f.t.Fatal("there is no worker")
	return nil
}

// becomes waits until this machine is to run the program of that content: the same files may be loaded, and told of, more than once.
func (f *fleetDir) becomes(told func() string, text string) *spec.Daemon {
	f.t.Helper()
	here := f.fleet.For("", Reached{})
	for {
		told()
		if d := f.worker(here); d.Program.Digest == "sha256:"+text {
			return d
		}
	}
}

func TestASaveIsBuilt(t *testing.T) {
	f, c := newBuiltDir(t, built("desk", "controller"))
	told := f.watchFleet()
	for _, text := range []string{"1", "2", "3"} {
		f.write("src/main.go", text)
		if d := f.becomes(told, text); d.Spec.Binary != "/here/bin/"+text+"/worker" || d.Spec.Build.Digest != "of "+text {
			t.Errorf("%s: %+v runs %s", text, d.Program, d.Spec.Binary)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.begun) < 3 || len(c.begun) > 6 {
		t.Errorf("built %v", c.begun)
	}
}

// TestANewerSaveEndsAnOlderLoad, however long that would take.
func TestANewerSaveEndsAnOlderLoad(t *testing.T) {
	f, c := newBuiltDir(t, built("desk", "controller"))
	told := f.watchFleet()
	told()
	never := make(chan struct{})
	c.mu.Lock()
	c.hold["2"] = never
	c.mu.Unlock()
	f.write("src/main.go", "2")
	for begun := false; !begun; {
		time.Sleep(time.Millisecond)
		c.mu.Lock()
		begun = c.begun[len(c.begun)-1] == ":2"
		c.mu.Unlock()
	}
	f.write("src/main.go", "3")
	f.becomes(told, "3")
	if len(f.news) > 0 {
		t.Errorf("a load that was ended is told as a problem: %s", <-f.news)
	}
}

// TestAFailedBuildChangesNothing, is told once, and is over with the next save that can be built.
func TestAFailedBuildChangesNothing(t *testing.T) {
	f, _ := newBuiltDir(t, built("desk", "controller"))
	f.fleet.o.Unmade = func(host string, err error) { f.news <- fmt.Sprint(host, ": ", err) }
	told, here := f.watchFleet(), f.fleet.For("", Reached{})
	told()
	f.worker(here)
	f.write("src/main.go", "broken")
	told()
	if news := <-f.news; !strings.Contains(news, "daemon worker stays as it is") || !strings.Contains(news, "it doesn't compile") {
		t.Errorf("told %q", news)
	}
	f.write("src/other.go", "x") // and it goes on being broken
	told()
	if d := f.worker(here); d.Program.Digest != "sha256:1" {
		t.Errorf("it is %+v", d.Program)
	}
	f.write("src/main.go", "2")
	told()
	if news := <-f.news; news != ": <nil>" {
		t.Errorf("told %q", news)
	}
	if d := f.worker(here); d.Program.Digest != "sha256:2" {
		t.Errorf("it is %+v", d.Program)
	}
}

// TestAHostRunsProgramsWhereItKeepsThem: the program is that of the load, and its place the host's.
func TestAHostRunsProgramsWhereItKeepsThem(t *testing.T) {
	f, c := newBuiltDir(t, built("gpu-1", "controller"))
	if _, err := f.fleet.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.write("src/main.go", "2") // nobody loaded that
	d := f.worker(f.fleet.For("gpu-1", Reached{ProgramDir: "/there/bin"}))
	if d.Program.Digest != "sha256:1" || d.Spec.Binary != "/there/bin/1/worker" {
		t.Errorf("%+v runs %s", d.Program, d.Spec.Binary)
	}
	if len(c.begun) != 1 {
		t.Errorf("it was built for %v", c.begun)
	}
}

// TestAHostMakesItsOwn program, once for each change.
func TestAHostMakesItsOwn(t *testing.T) {
	f, _ := newBuiltDir(t, built("gpu-1", "host"))
	made := 0
	at := Reached{ProgramDir: "/there/bin", Program: func(_ context.Context, host string, m *spec.Manifest, dir string) (*spec.Program, error) {
		made++
		if host != "gpu-1" || m.Metadata.Name != "worker" || dir != filepath.Join(f.dir, "manifests") {
			t.Errorf("asked for %s of %s in %s", m.Metadata.Name, host, dir)
		}
		return &spec.Program{Digest: "sha256:there", Build: "of 1"}, nil
	}}
	src := f.fleet.For("gpu-1", at)
	for range 3 {
		if d := f.worker(src); d.Spec.Install.Digest != "sha256:there" || d.Spec.Binary != "/there/bin/there/worker" || d.Spec.Build.Digest != "of 1" {
			t.Errorf("%+v runs %s", d.Program, d.Spec.Binary)
		}
	}
	if made != 1 {
		t.Errorf("it was made %d times", made)
	}
}

// TestAProgramBesideTheManifestIsWatched as its other files are.
func TestAProgramBesideTheManifestIsWatched(t *testing.T) {
	f := newFleetDir(t)
	f.write("manifests/worker.yaml", "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: worker}\nspec: {install: {from: ../dist/worker}}\n")
	told := f.watchFleet()
	told()
	f.write("dist/worker", "1")
	told()
}

// TestOneBrokenProgramHoldsUpNoOther: its daemon stays as it is, with whatever else of its manifest changes meanwhile, and the others go on.
func TestOneBrokenProgramHoldsUpNoOther(t *testing.T) {
	for _, host := range []string{"desk", "gpu-1"} {
		t.Run(host, func(t *testing.T) {
			f, _ := newBuiltDir(t, built(host, "controller"))
			var told []string
			f.fleet.o.Unmade = func(host string, err error) { told = append(told, fmt.Sprint(host, ": ", err)) }
			f.write("manifests/other.yaml", "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: other}\nspec: {host: "+host+", binary: /bin/true}\n")
			at := map[string]string{"desk": "", "gpu-1": "gpu-1"}[host]
			src := f.fleet.For(at, Reached{ProgramDir: "/there/bin"})
			load := func() {
				t.Helper()
				if _, err := f.fleet.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.fleet.tellUnmade()
			}
			load()
			before := f.worker(src)
			f.write("src/main.go", "broken")
			f.write("manifests/worker.yaml", built(host, "controller")+"  args: [changed]\n")
			f.write("manifests/other.yaml", "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: other}\nspec: {host: "+host+", binary: /bin/false}\n")
			load()
			if d := f.worker(src); d.Digest != before.Digest || d.Program.Digest != "sha256:1" {
				t.Errorf("it is to become %+v", d.Spec)
			}
			ds, err := src.Load(t.Context())
			if err != nil || !slices.ContainsFunc(ds, func(d *spec.Daemon) bool { return d.Spec.Binary == "/bin/false" }) {
				t.Errorf("%v, %v", ds, err)
			}
			anew := f.worker(f.fleet.For(at, Reached{ProgramDir: "/there/bin"})) // as after a restart
			if unmade(anew) == nil {
				t.Errorf("nobody knows that %+v can't be made", anew.Program)
			}
			f.write("src/main.go", "2")
			load()
			if d := f.worker(src); d.Program.Digest != "sha256:2" || len(d.Spec.Args) != 1 {
				t.Errorf("it is to become %+v", d.Spec)
			}
			if len(told) != 2 || !strings.Contains(told[0], "daemon worker stays as it is") || !strings.Contains(told[0], "doesn't compile") || !strings.HasSuffix(told[1], ": <nil>") {
				t.Errorf("told %q", told)
			}
		})
	}
}
