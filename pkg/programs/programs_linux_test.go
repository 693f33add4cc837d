package programs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"reconciler.dev/reconciler/internal/artifact"
	"reconciler.dev/reconciler/internal/build"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestMain(m *testing.M) {
	spawn.Main()
	os.Exit(m.Run())
}

// bench is a Maker, with a folder of sources and manifests, and what was told.
type bench struct {
	*Maker
	t   *testing.T
	dir string

	mu      sync.Mutex
	told    []string
	printed bytes.Buffer
	closed  int
}

func newBench(t *testing.T, change ...func(*Options)) *bench {
	b := &bench{t: t, dir: t.TempDir()}
	tell := func(daemon, what string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.told = append(b.told, daemon+": "+what)
	}
	o := Options{
		Builder: build.New(build.Options{
			Dir: filepath.Join(b.dir, "builds"), Env: map[string]string{"PATH": "/usr/bin:/bin"}, Spawner: sync.OnceValues(spawn.New),
			Begun: func(j build.Job, why string) { tell(j.Name, why) },
		}),
		Cache:  artifact.New(artifact.Options{Dir: filepath.Join(b.dir, "cache")}),
		Output: func(string) io.WriteCloser { return output{b} },
		Tell:   func(daemon, what string) { tell(daemon, strings.Split(what, " in ")[0]) },
	}
	for _, f := range change {
		f(&o)
	}
	b.Maker = New(o)
	b.write("src/main.c", "one")
	return b
}

// output is where commands print to.
type output struct{ b *bench }

func (o output) Write(p []byte) (int, error) {
	o.b.mu.Lock()
	defer o.b.mu.Unlock()
	return o.b.printed.Write(p)
}

func (o output) Close() error {
	o.b.mu.Lock()
	defer o.b.mu.Unlock()
	o.b.closed++
	return nil
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// manifest reads one, whose spec is given.
func (b *bench) manifest(name, text string) *spec.Manifest {
	b.t.Helper()
	b.write(name+".yaml", "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: "+name+"}\nspec:\n"+text)
	docs, err := spec.LoadAll([]string{filepath.Join(b.dir, name+".yaml")}, spec.LoadOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return &docs.Daemons[0]
}

const builds = `  build: {command: [sh, -c, "echo compiling; cat *.c > worker"], dir: src, inputs: ["*.c"], output: worker}
`

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// has checks which program was found.
func (b *bench) has(p *spec.Program, err error, content string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	if p.Digest != "sha256:"+sumOf(content) || p.Size != int64(len(content)) || p.Stale != "" {
		b.t.Fatalf("found %+v, want %q", p, content)
	}
	f, err := p.Open()
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); err != nil || string(text) != content {
		b.t.Errorf("it opens as %q, %v", text, err)
	}
}

func TestALookBuildsNothing(t *testing.T) {
	b := newBench(t)
	m := b.manifest("worker", builds)
	look := func() *spec.Program {
		t.Helper()
		p, err := b.Begin(Look).Find(t.Context(), "", m, b.dir)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := look()
	if p.Digest != "" || p.Stale != "it was never built here" || !strings.HasPrefix(p.Build, "sha256:") || b.told != nil {
		t.Errorf("found %+v, told %v", p, b.told)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "src/worker")); !os.IsNotExist(err) {
		t.Errorf("it was built: %v", err)
	}
	made, err := b.Begin(Make).Find(t.Context(), "", m, b.dir)
	b.has(made, err, "one")
	if made.Build != p.Build {
		t.Errorf("what it is built from has digest %s, and had %s", made.Build, p.Build)
	}
	b.has(look(), nil, "one")
	b.write("src/main.c", "two")
	if p := look(); p.Digest != "" || p.Stale != "main.c changed" || p.Build == made.Build {
		t.Errorf("found %+v", p)
	}
}

func TestAPersonIsToldOfABuild(t *testing.T) {
	b := newBench(t)
	m := b.manifest("worker", builds)
	for range 2 {
		if _, err := b.Begin(Make).Find(t.Context(), "", m, b.dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(b.told, "; "); got != "worker: it was never built here; worker: built worker" {
		t.Errorf("told %q", got)
	}
	if b.printed.String() != "compiling\n" || b.closed != 1 {
		t.Errorf("printed %q, closed %d times", b.printed.String(), b.closed)
	}
}

// TestARoundIsOneState: who asks again gets the same, and what several daemons share is made once.
func TestARoundIsOneState(t *testing.T) {
	b := newBench(t)
	one, two := b.manifest("one", builds), b.manifest("two", builds)
	r := b.Begin(Remake)
	var wg sync.WaitGroup
	for _, m := range []*spec.Manifest{one, two, one, two} {
		wg.Go(func() {
			if _, err := r.Find(t.Context(), "", m, b.dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.write("src/main.c", "two")
	p, err := r.Find(t.Context(), "gpu-1", one, b.dir)
	b.has(p, err, "one")
	if strings.Count(b.printed.String(), "compiling") != 1 {
		t.Errorf("printed %q", b.printed.String())
	}
	p, err = b.Begin(Make).Find(t.Context(), "", one, b.dir)
	b.has(p, err, "two")
}

func TestARunAsksItsShop(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Shop = build.NewShop(o.Builder) })
	defer b.o.Shop.Close()
	m := b.manifest("worker", builds)
	m.Spec.Build.Command[2] = "echo tried >> tries; [ -e ok ] && cat *.c > worker"
	for range 3 {
		if _, err := b.Begin(Make).Find(t.Context(), "", m, b.dir); err == nil || !strings.Contains(err.Error(), "exited with status 1") {
			t.Errorf("%v", err)
		}
	}
	if tries, err := os.ReadFile(filepath.Join(b.dir, "src/tries")); err != nil || string(tries) != "tried\n" {
		t.Errorf("%q, %v", tries, err)
	}
	b.write("src/ok", "")
	b.write("src/main.c", "mended")
	p, err := b.Begin(Make).Find(t.Context(), "", m, b.dir)
	b.has(p, err, "mended")
}

func TestProgramsThatAreNotBuilt(t *testing.T) {
	b := newBench(t)
	b.write("dist/web", "program")
	m := b.manifest("web", "  install: {from: dist/web, sha256: "+sumOf("program")+"}\n")
	for _, p := range []Purpose{Look, Make} {
		found, err := b.Begin(p).Find(t.Context(), "gpu-1", m, b.dir)
		b.has(found, err, "program")
	}
	b.write("dist/web", "other")
	if _, err := b.Begin(Look).Find(t.Context(), "", m, b.dir); err == nil || !strings.Contains(err.Error(), "install.sha256 says") {
		t.Errorf("%v", err)
	}
	far := b.manifest("far", "  install: {from: 'https://127.0.0.1:1/web', sha256: "+sumOf("far")+"}\n")
	if p, err := b.Begin(Look).Find(t.Context(), "", far, b.dir); err != nil || p.Digest != "sha256:"+sumOf("far") || p.Stale != "" || p.Open != nil {
		t.Errorf("what would be fetched: %+v, %v", p, err)
	}
	packed := b.manifest("packed", "  install: {from: 'https://127.0.0.1:1/web.tgz', archive: {member: web}, sha256: "+sumOf("far")+"}\n")
	if p, err := b.Begin(Look).Find(t.Context(), "", packed, b.dir); err != nil || p.Digest != "" || !strings.Contains(p.Stale, "it isn't here yet") {
		t.Errorf("what would be fetched and unpacked: %+v, %v", p, err)
	}
}

// TestWhoEndsWaitingEnds, though another one's build goes on.
func TestWhoEndsWaitingEnds(t *testing.T) {
	b := newBench(t)
	m := b.manifest("worker", builds)
	r := b.Begin(Make)
	r.found[keyOf(m, b.dir)] = &finding{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Find(ctx, "", m, b.dir); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
