package outage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/internal/loadgen"
)

// Options are what happens to whom.
type Options struct {
	// Reconciler is the program under test, Hello that of examples/hello. Dir is a directory for all that they need.
	Reconciler, Hello, Dir string
	// Driver keeps the daemon, which is called Name: two of them may share a machine.
	Driver, Name string
	// Listen has the daemon's socket held; else the daemon opens it itself.
	Listen bool
	// StartFirst has a new instance started beside the old one, which is stopped once that is Ready.
	StartFirst bool
	// Holder has the process that holds the daemon's socket killed each time, before the daemon is.
	Holder bool
	// Times is how often the daemon is rebuilt, killed and rolled back, each.
	Times int
	// Rate is how many requests are begun in a second; 0: 1000.
	Rate int
}

// Run rebuilds the daemon by saves of its source, kills it, both under a run, and rolls it back, all under load, and returns what became of the requests. An error says that something else
// than the load went wrong.
func Run(ctx context.Context, o Options) (r loadgen.Result, err error) {
	ten, release, err := freeport.Take()
	if err != nil {
		return r, err
	}
	defer release()
	d, err := prepare(o, fmt.Sprintf("127.0.0.1:%d0", ten))
	if err != nil {
		return r, fmt.Errorf("prepare a daemon: %w", err)
	}
	defer func() { err = errors.Join(err, d.remove(context.WithoutCancel(ctx))) }()
	keep, err := d.keep(ctx)
	if err != nil {
		return r, err
	}
	loading, enough := context.WithCancel(ctx)
	defer enough()
	done := make(chan loadgen.Result, 1)
	go func() { done <- loadgen.Run(loading, loadgen.Options{Address: d.address, Path: "/", Rate: o.Rate}) }()
	err = d.rebuilds(ctx)
	if err == nil {
		err = d.kills(ctx)
	}
	if err = errors.Join(err, keep.end()); err == nil {
		err = d.rollbacks(ctx)
	} else {
		err = fmt.Errorf("%w\nreconciler run said:\n%s", err, &keep.said)
	}
	enough()
	return <-done, err
}

// daemon is the one that all happens to.
type daemon struct {
	Options
	address, manifest, note string
	saves                   int
}

func prepare(o Options, address string) (*daemon, error) {
	d := &daemon{Options: o, address: address, manifest: filepath.Join(o.Dir, "hello.yaml"), note: filepath.Join(o.Dir, "src", "note")}
	if err := os.MkdirAll(filepath.Dir(d.note), 0o755); err != nil {
		return nil, err
	}
	how := fmt.Sprintf("args: [-addr=%s]", d.address)
	if o.Listen {
		how = fmt.Sprintf("listen: [\"tcp://%s\"]", d.address)
	}
	strategy := "Restart"
	if o.StartFirst {
		strategy = "StartFirst"
	}
	// What is built is another program each time, without a compiler: the old one with a note at its end, which nobody reads.
	manifest := fmt.Sprintf(`apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: %s}
spec:
  driver: %s
  build: {command: [/bin/sh, build.sh], dir: src, inputs: [note, build.sh], output: dist/hello}
  install: {}
  update: {strategy: %s}
  %s
  health: {url: "http://%s/healthz", interval: 1s}
  restart: {backoff: {initial: 100ms, resetAfter: 1s}}
`, o.Name, o.Driver, strategy, how, d.address)
	script := fmt.Sprintf("mkdir -p dist && cat '%s' note > dist/hello && chmod 755 dist/hello\n", o.Hello)
	return d, errors.Join(
		os.WriteFile(d.manifest, []byte(manifest), 0o644),
		os.WriteFile(filepath.Join(o.Dir, "src", "build.sh"), []byte(script), 0o644),
		d.save(),
	)
}

// save changes the source.
func (d *daemon) save() error {
	d.saves++
	return os.WriteFile(d.note, fmt.Appendf(nil, "saved %d times\n", d.saves), 0o644)
}

func (d *daemon) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.Reconciler, args...)
	cmd.Env = append(os.Environ(), "RECONCILER_STATE_DIR="+filepath.Join(d.Dir, "state"))
	return cmd
}

func (d *daemon) do(ctx context.Context, args ...string) error {
	if out, err := d.command(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("reconciler %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// keeping is a `reconciler run`.
type keeping struct {
	cmd  *exec.Cmd
	said bytes.Buffer
}

// keep starts a run and waits until the daemon answers.
func (d *daemon) keep(ctx context.Context) (*keeping, error) {
	args := []string{"run", "-f", d.manifest}
	if d.Holder {
		args = append(args, "--resync=1h") // which would mend it, too
	}
	k := &keeping{cmd: d.command(ctx, args...)}
	k.cmd.Stdout, k.cmd.Stderr = &k.said, &k.said
	if err := k.cmd.Start(); err != nil {
		return nil, fmt.Errorf("reconciler run: %w", err)
	}
	if _, err := d.await(ctx, 0); err != nil {
		return nil, errors.Join(err, k.end(), fmt.Errorf("reconciler run said: %s", &k.said))
	}
	return k, nil
}

func (k *keeping) end() error {
	if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("reconciler run ended early: %w\n%s", errors.Join(err, k.cmd.Wait()), &k.said)
	}
	var status *exec.ExitError
	if err := k.cmd.Wait(); err != nil && !errors.As(err, &status) {
		return err
	}
	return nil
}

// patience is how long a new instance may take to answer.
const patience = 30 * time.Second

// await waits until another process than old answers, and returns it.
func (d *daemon) await(ctx context.Context, old int) (pid int, err error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if pid, err = d.ask(limited); err == nil && pid != old {
			return pid, nil
		}
		select {
		case <-limited.Done():
			return 0, fmt.Errorf("no other process than %d answers within %s: %w", old, patience, errors.Join(err, ctx.Err()))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// alone waits until one process gives all answers, and returns it: while one instance takes the place of another both do.
func (d *daemon) alone(ctx context.Context) (pid int, err error) {
	const enough = 20
	for same := 0; same < enough; same++ {
		now, err := d.ask(ctx)
		if err != nil {
			return 0, err
		}
		if now != pid {
			pid, same = now, 0
		}
	}
	return pid, nil
}

// ask asks which process answers.
func (d *daemon) ask(ctx context.Context) (pid int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.address+"/", nil)
	if err != nil {
		return 0, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var greeting [4]string
	_, err = fmt.Fscanf(resp.Body, "%s %s This is %s process %d.", &greeting[0], &greeting[1], &greeting[2], &pid)
	return pid, err
}

// settled is how long an instance must be up to count as one that stays: see restart.backoff.resetAfter.
const settled = 1100 * time.Millisecond

// each has something happen, again and again, and waits each time for the instance that comes of it.
func (d *daemon) each(ctx context.Context, what string, happen func(pid int) error) error {
	var err error
	for i := 0; i < d.Times && err == nil; i++ {
		select {
		case <-time.After(settled):
		case <-ctx.Done():
			return ctx.Err()
		}
		var pid int
		if pid, err = d.alone(ctx); err == nil {
			err = happen(pid)
		}
		if err == nil {
			_, err = d.await(ctx, pid)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (d *daemon) rebuilds(ctx context.Context) error {
	return d.each(ctx, "save its source", func(int) error { return d.save() })
}

func (d *daemon) kills(ctx context.Context) error {
	return d.each(ctx, "kill it", func(pid int) error {
		if d.Holder {
			if err := d.killHolder(ctx, pid); err != nil {
				return err
			}
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	})
}

func (d *daemon) rollbacks(ctx context.Context) error {
	return d.each(ctx, "roll it back", func(int) error {
		err := d.do(ctx, "rollout", "undo", d.Name)
		if err != nil {
			history, _ := d.command(ctx, "rollout", "history", d.Name).CombinedOutput()
			described, _ := d.command(ctx, "describe", d.Name).CombinedOutput()
			err = fmt.Errorf("%w\n%s\n%s", err, history, described)
		}
		return err
	})
}

func (d *daemon) remove(ctx context.Context) error {
	return d.do(ctx, "delete", d.Name, "--ignore-not-found")
}
