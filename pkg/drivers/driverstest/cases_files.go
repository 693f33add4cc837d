package driverstest

import (
	"path/filepath"
	"slices"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func fileCases() []testCase {
	return []testCase{
		{"are written before the start, in directories that are made", func(b *bench) {
			d := b.daemon("web", b.stay())
			path := b.config(d, "etc/deep/web.conf", "port 80\n")
			b.must(spec.VerbFiles, sealed(d))
			b.holds(path, "port 80\n")
			b.noDrift(b.start(d))
		}},
		{"have the mode asked for", func(b *bench) {
			d := b.daemon("web", b.stay())
			secret, tool := b.config(d, "secret", "x"), b.config(d, "tool", "#!/bin/true")
			for i, mode := range []spec.Mode{0o600, 0o755} {
				d.Spec.Files[i].Mode = &mode
			}
			b.must(spec.VerbFiles, sealed(d))
			for path, want := range map[string]spec.Mode{secret: 0o600, tool: 0o755} {
				if f, err := b.m.Read(path); err != nil || f.Mode != want {
					b.t.Errorf("%s has mode %s (%v), want %s", path, f.Mode, err, want)
				}
			}
			b.noDrift(b.start(d))
		}},
		{"can be empty, and hold every byte", func(b *bench) {
			d := b.daemon("web", b.stay())
			odd := "\x00\xff\r\n\x1b[2J"
			empty, binary := b.config(d, "empty", ""), b.config(d, "binary", odd)
			b.must(spec.VerbFiles, sealed(d))
			b.holds(empty, "")
			b.holds(binary, odd)
		}},
		{"of somebody else are not written over, and none is written then", func(b *bench) {
			d := b.daemon("web", b.stay())
			first, taken := b.config(d, "first", "ours"), b.config(d, "taken", "ours")
			b.write(taken, "theirs", 0o640)
			s := b.step(spec.VerbFiles, sealed(d))
			b.mustFail(s, drivers.ErrConflict)
			b.holds(taken, "theirs")
			b.missing(first)
			s.Force = true
			b.mustStep(s)
			b.holds(taken, "ours")
			b.holds(first, "ours")
		}},
		{"that are there with the same content are taken over", func(b *bench) {
			d := b.daemon("web", b.stay())
			path := b.config(d, "same", "equal")
			b.write(path, "equal", 0o644)
			b.must(spec.VerbFiles, sealed(d))
			b.holds(path, "equal")
		}},
		{"are written again after a crash before the start", func(b *bench) {
			d := b.daemon("web", b.stay())
			path := b.config(d, "conf", "one")
			b.must(spec.VerbFiles, sealed(d))
			changed := b.daemon("web", b.stay())
			b.config(changed, "conf", "two")
			if err := b.Reopen().Apply(b.ctx(), b.step(spec.VerbFiles, sealed(changed))); err != nil {
				b.t.Fatalf("our own file was taken for another's: %v", err)
			}
			b.holds(path, "two")
		}},
		{"that somebody changed are drift", func(b *bench) {
			d := b.daemon("web", b.stay())
			path := b.config(d, "conf", "right")
			b.must(spec.VerbFiles, sealed(d))
			b.noDrift(b.start(d))
			b.write(path, "wrong", 0o644)
			b.wantDrift(spec.Drift{Field: "spec.files[" + path + "].content", Want: ContentDigest([]byte("right")), Have: ContentDigest([]byte("wrong")), Class: spec.Reloaded})
			b.write(path, "right", 0o600)
			b.wantDrift(spec.Drift{Field: "spec.files[" + path + "].mode", Want: "0644", Have: "0600", Class: spec.Reloaded})
			if err := b.m.Remove(path); err != nil {
				b.t.Fatal(err)
			}
			b.wantDrift(spec.Drift{Field: "spec.files[" + path + "].content", Want: ContentDigest([]byte("right")), Have: "missing", Class: spec.Reloaded})
			b.noDrift(b.must(spec.VerbFiles, d))
			b.holds(path, "right")
		}},
		{"that changed in place with the same length are drift", func(b *bench) {
			d := b.daemon("web", b.stay())
			path := b.config(d, "conf", "right")
			b.must(spec.VerbFiles, sealed(d))
			b.noDrift(b.start(d))
			for range 20 { // also right after a look, within a tick of the file system's clock
				b.write(path, "wrong", 0o644)
				b.wantDrift(spec.Drift{Field: "spec.files[" + path + "].content", Want: ContentDigest([]byte("right")), Have: ContentDigest([]byte("wrong")), Class: spec.Reloaded})
				b.write(path, "right", 0o644)
				b.noDrift(b.observe("web"))
			}
		}},
		{"that are no longer wanted are removed, unless somebody changed them", func(b *bench) {
			d := b.daemon("web", b.stay())
			stays, goes, kept := b.config(d, "stays", "1"), b.config(d, "goes", "2"), b.config(d, "kept", "3")
			b.must(spec.VerbFiles, sealed(d))
			b.start(d)
			b.write(kept, "changed by hand", 0o644)
			changed := b.daemon("web", b.stay())
			b.config(changed, "stays", "1")
			s := b.step(spec.VerbFiles, sealed(changed))
			s.Generation = 2
			b.mustStep(s)
			b.holds(stays, "1")
			b.missing(goes)
			b.holds(kept, "changed by hand")
		}},
		{"are removed with the daemon, unless somebody changed them", func(b *bench) {
			d := b.daemon("web", b.stay())
			goes, kept := b.config(d, "goes", "1"), b.config(d, "kept", "2")
			b.must(spec.VerbFiles, sealed(d))
			b.start(d)
			b.must(spec.VerbStop, d)
			b.write(kept, "changed by hand", 0o644)
			b.must(spec.VerbRemove, d)
			b.missing(goes)
			b.holds(kept, "changed by hand")
		}},
		{"of another instance are not written", func(b *bench) {
			d := b.daemon("web", b.stay())
			b.start(d)
			path := b.config(d, "conf", "new")
			s := b.step(spec.VerbFiles, sealed(d))
			s.Instance = "another"
			b.mustFail(s, drivers.ErrMoved)
			b.missing(path)
		}},
		{"whose content isn't at hand are permanent, and none is written", func(b *bench) {
			d := b.daemon("web", b.stay())
			first := b.config(d, "first", "1")
			b.config(d, "second", "2")
			delete(d.Contents, d.Spec.Files[1].Digest)
			b.mustFail(b.step(spec.VerbFiles, sealed(d)), drivers.ErrPermanent)
			b.missing(first)
		}},
		{"again change nothing", func(b *bench) {
			d := b.daemon("web", b.stay())
			path := b.config(d, "conf", "x")
			s := b.step(spec.VerbFiles, sealed(d))
			b.mustStep(s)
			b.mustStep(s)
			b.holds(path, "x")
		}},
	}
}

// config adds a config file below the case's directory to d and returns its path.
func (b *bench) config(d *spec.Daemon, name, content string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, filepath.FromSlash(name))
	digest := ContentDigest([]byte(content))
	d.Spec.Files = append(d.Spec.Files, spec.File{Path: path, Digest: digest})
	if d.Contents == nil {
		d.Contents = map[string][]byte{}
	}
	d.Contents[digest] = []byte(content)
	return path
}

func (b *bench) noDrift(o spec.Observed) {
	b.t.Helper()
	if len(o.Drift) > 0 {
		b.t.Fatalf("there is drift: %+v", o.Drift)
	}
}

func (b *bench) wantDrift(want ...spec.Drift) {
	b.t.Helper()
	if got := b.observe("web").Drift; !slices.Equal(got, want) {
		b.t.Fatalf("drift is %+v, want %+v", got, want)
	}
}
