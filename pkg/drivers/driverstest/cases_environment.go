package driverstest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// secretValue is put together at run time, so that it isn't found in a copy of the program that looks for it.
func secretValue() string { return "s3cr3t-\x01-" + strings.Repeat("k33p", 3) }

func environmentCases() []testCase {
	return []testCase{
		{"arguments arrive byte by byte", func(b *bench) {
			o := b.stay()
			o.Rest = testprog.Hostile()
			d := b.daemon("web", o)
			b.start(d)
			got := b.begun("leader").Args
			if len(got) != len(d.Spec.Args)+1 {
				b.t.Fatalf("%d arguments arrived, want %d", len(got), len(d.Spec.Args)+1)
			}
			for i, want := range append([]string{d.Spec.Binary}, d.Spec.Args...) {
				if string(got[i]) != want {
					b.t.Errorf("argument %d is %q, want %q", i, got[i], want)
				}
			}
		}},
		{"the environment is what is declared and nothing of ours", func(b *bench) {
			d := b.daemon("web", b.stay())
			value, empty := "a=b $X %n \"q\" 'r' \\ \nünï\xff", ""
			d.Spec.Env = map[string]spec.EnvVar{"ODD": {Value: &value}, "EMPTY": {Value: &empty}}
			b.start(sealed(d))
			env := b.begun("leader").Env
			for _, want := range []string{"ODD=" + value, "EMPTY="} {
				if !slices.ContainsFunc(env, func(e []byte) bool { return string(e) == want }) {
					b.t.Errorf("%q didn't arrive", want)
				}
			}
			allowed := []string{"ODD", "EMPTY", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"}
			for _, e := range env {
				if name, _, _ := strings.Cut(string(e), "="); !slices.Contains(allowed, name) {
					b.t.Errorf("%s was never declared", e)
				}
			}
		}},
		{"variables arrive byte by byte", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.Env = map[string]spec.EnvVar{}
			for i, v := range testprog.Hostile() {
				d.Spec.Env[fmt.Sprintf("V%d", i)] = spec.EnvVar{Value: &v}
			}
			value := "value"
			for _, name := range testprog.HostileVariables() {
				d.Spec.Env[name] = spec.EnvVar{Value: &value}
			}
			b.start(sealed(d))
			got := map[string]string{}
			for _, kv := range b.begun("leader").Env {
				name, v, _ := strings.Cut(string(kv), "=")
				got[name] = v
			}
			for name, want := range d.Spec.Env {
				if v, there := got[name]; !there || v != *want.Value {
					b.t.Errorf("variable %q is %q, want %q", name, v, *want.Value)
				}
			}
		}},
		{"paths are taken byte by byte", func(b *bench) {
			for _, dir := range []string{"bin", "dir"} {
				b.mustDo(b.m.MakeDir(filepath.Join(b.dir, dir)))
			}
			var wg sync.WaitGroup
			slots := make(chan struct{}, 8)
			dirs := map[string]string{} // by binary
			for i, name := range testprog.HostileNames() {
				d := b.daemon(fmt.Sprintf("path%d", i), b.stay())
				d.Spec.Binary, d.Spec.WorkingDir = b.dir+"/bin/"+name, b.dir+"/dir/"+name
				b.mustDo(b.m.MakeDir(d.Spec.WorkingDir))
				if _, again := dirs[d.Spec.Binary]; again {
					continue
				}
				b.mustDo(b.m.Name(d.Spec.Binary))
				dirs[d.Spec.Binary] = d.Spec.WorkingDir
				step := b.step(spec.VerbStart, sealed(d))
				wg.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					if err := b.apply(step); err != nil {
						b.t.Error(err)
					}
				})
			}
			wg.Wait()
			b.eventually("all report", func() bool { return len(b.lines("leader", "")) == len(dirs) })
			for _, l := range b.lines("leader", "") {
				if want, ok := dirs[string(l.Args[0])]; !ok || string(l.Dir) != want {
					b.t.Errorf("%q runs in %q, want %q", l.Args[0], l.Dir, want)
				}
			}
		}},
		{"a declared variable wins over a given one", func(b *bench) {
			d := b.daemon("web", b.stay())
			path := "/only/here"
			d.Spec.Env = map[string]spec.EnvVar{"PATH": {Value: &path}}
			b.start(sealed(d))
			var got []string
			for _, e := range b.begun("leader").Env {
				if strings.HasPrefix(string(e), "PATH=") {
					got = append(got, string(e))
				}
			}
			if !slices.Equal(got, []string{"PATH=" + path}) {
				b.t.Errorf("got %q", got)
			}
		}},
		{"a secret reaches the daemon and nothing else", func(b *bench) {
			secret := secretValue()
			d := b.daemon("web", b.stay())
			d.Spec.Env = map[string]spec.EnvVar{"TOKEN": {FromFile: "/secrets/token", Digest: "sha256:00"}}
			d.Secrets = map[string]spec.Secret{"TOKEN": spec.NewSecret(secret)}
			b.must(spec.VerbFiles, sealed(d))
			o := b.start(d)
			want := "TOKEN=" + secret
			if !slices.ContainsFunc(b.begun("leader").Env, func(e []byte) bool { return string(e) == want }) {
				b.t.Error("the secret didn't arrive")
			}
			b.must(spec.VerbStamp, d)
			if text := fmt.Sprintf("%+v %+v %+v", o, o.Stamp, o.Instance); strings.Contains(text, secret) {
				b.t.Error("the secret is in what is observed")
			}
			for _, dir := range b.Dirs {
				b.searchFor(dir, secret)
			}
		}},
		{"the working directory is the one asked for", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.WorkingDir = b.dir
			b.start(sealed(d))
			if got := string(b.begun("leader").Dir); got != b.dir {
				b.t.Errorf("it runs in %s, want %s", got, b.dir)
			}
		}},
		{"the umask is the one asked for, and not ours", func(b *bench) {
			umask := spec.Mode(0o137)
			b.honours("spec.umask", func(d *spec.Daemon) { d.Spec.Umask = &umask }, func(l testprog.Line) bool { return l.Umask == 0o137 })
		}},
		{"the priority is the one asked for", func(b *bench) {
			b.honours("spec.nice", func(d *spec.Daemon) { d.Spec.Nice = 7 }, func(l testprog.Line) bool { return l.Nice == 7 })
		}},
		{"process limits are the ones asked for", func(b *bench) {
			limits := map[string]spec.Rlimit{"core": {Soft: 0, Hard: 4096}, "fsize": {Soft: 1 << 30, Hard: 1 << 30}, "stack": {Soft: 4 << 20, Hard: 8 << 20}}
			b.honours("spec.rlimits", func(d *spec.Daemon) { d.Spec.Rlimits = limits }, func(l testprog.Line) bool {
				for name, want := range limits {
					if l.Rlimits[name] != [2]uint64{want.Soft, want.Hard} {
						return false
					}
				}
				return true
			})
		}},
		{"user and group are the ones asked for, or it is refused", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.User, d.Spec.Group = "65534", "1" // systemd wants both to be in the tables of accounts
			sealed(d)
			if !b.m.Root() || b.lacks("spec.user") {
				b.mustFail(b.step(spec.VerbStart, d), drivers.ErrPermanent, drivers.ErrUnsupported)
				return
			}
			b.start(d)
			if l := b.begun("leader"); l.UID != 65534 || l.GID != 1 {
				b.t.Errorf("it runs as %d:%d, want 65534:1", l.UID, l.GID)
			}
		}},
		{"a user that isn't there is refused", func(b *bench) {
			d := b.daemon("web", b.stay())
			d.Spec.User = "no-such-user"
			b.mustFail(b.step(spec.VerbStart, sealed(d)), drivers.ErrPermanent, drivers.ErrUnsupported)
			if n := len(b.report()); n != 0 {
				b.t.Errorf("%d processes ran", n)
			}
		}},
		{"it sits in a session of its own, with no file of ours open", func(b *bench) {
			b.start(b.daemon("web", b.stay()))
			l := b.begun("leader")
			if l.Session != l.PID {
				b.t.Errorf("process %d is in session %d", l.PID, l.Session)
			}
			if l.Files[0] != os.DevNull {
				b.t.Errorf("stdin is %s", l.Files[0])
			}
			for fd, to := range l.Files {
				if fd > 2 {
					b.t.Errorf("descriptor %d is open: %s", fd, to)
				}
			}
		}},
		{"stdout and stderr are appended to the log, start after start", func(b *bench) {
			o := b.stay()
			o.Say, o.Complain = "said", "complained"
			d := b.daemon("web", o)
			b.start(d)
			b.kill("web")
			b.start(d)
			b.logged(d, "said\ncomplained\nsaid\ncomplained\n")
		}},
		{"the log tells where each instance begins", func(b *bench) {
			o := b.stay()
			o.Say = "said"
			d := b.daemon("web", o)
			first := b.start(d).Instance
			b.logged(d, "said\n")
			b.kill("web")
			second := b.start(d).Instance
			b.logged(d, "said\nsaid\n")
			if first.LogStart != 0 || second.LogStart != 5 || second.LastLogStart != 0 {
				b.t.Errorf("the first begins at %d, the second at %d, and says that the one before began at %d; want 0, 5 and 0", first.LogStart, second.LogStart, second.LastLogStart)
			}
			b.kill("web")
			if third := b.start(d).Instance; third.LogStart != 10 || third.LastLogStart != 5 {
				b.t.Errorf("the third begins at %d, and says that the one before began at %d; want 10 and 5", third.LogStart, third.LastLogStart)
			}
		}},
	}
}

// mustDo fails where the machine can't do what the case needs.
func (b *bench) mustDo(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// logged waits until the daemon's log holds text.
func (b *bench) logged(d *spec.Daemon, text string) {
	b.t.Helper()
	b.eventually("the log has it all", func() bool {
		f, err := b.m.Read(d.Spec.Log.Path)
		return err == nil && string(f.Content) == text
	})
}

// honours starts a daemon changed by ask and fails unless its report shows it; a driver that lacks the field must refuse instead.
func (b *bench) honours(field string, ask func(*spec.Daemon), shows func(testprog.Line) bool) {
	b.t.Helper()
	d := b.daemon("web", b.stay())
	ask(d)
	sealed(d)
	if b.lacks(field) {
		b.mustFail(b.step(spec.VerbStart, d), drivers.ErrUnsupported)
		<-time.After(soon)
		if n := len(b.report()); n != 0 {
			b.t.Errorf("%s was refused, and %d processes ran", field, n)
		}
		return
	}
	b.start(d)
	if l := b.begun("leader"); !shows(l) {
		b.t.Errorf("%s isn't what was asked for: %+v", field, l)
	}
}

// searchFor fails where a file below dir, or its name, has text in it.
func (b *bench) searchFor(dir, text string) {
	b.t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) || strings.Contains(path, text) {
			b.t.Errorf("the secret is in %s", path)
		}
		return err
	})
	if err != nil {
		b.t.Error(err)
	}
}
