package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"reconciler.dev/reconciler/test/labhost"
)

//go:embed tinyd/tinyd.c
var tinydSource string

const (
	settle  = 2200 * time.Millisecond // how long a daemon must be up before a kill of it counts
	between = 50 * time.Millisecond   // from one kill to the next
)

func main() {
	labhost.Stage()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{out: os.Stdout}
	flag.StringVar(&b.reconciler, "reconciler", "", "the binary to measure; without it only the floors are")
	flag.StringVar(&b.hello, "hello", "", "the daemon of examples/hello, to be rebuilt, killed and rolled back under load; without it that isn't measured")
	flag.IntVar(&b.n, "n", 500, "daemons to start, apply and stop")
	flag.IntVar(&b.few, "few", 100, "daemons running while one is killed, and the smaller count for the memory of each")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of start, apply and stop")
	flag.IntVar(&b.kills, "kills", 30, "kills to heal")
	flag.DurationVar(&b.idle, "idle", time.Minute, "how long an idle run is watched")
	flag.BoolVar(&b.lookingOnly, "looking", false, "measure nothing but what it costs to look at daemons")
	flag.BoolVar(&b.metricsOnly, "metrics", false, "measure nothing but scrapes of a run")
	flag.BoolVar(&b.pageOnly, "page", false, "measure nothing but the page of a run")
	flag.StringVar(&b.driver, "driver", "", "process, cgroup or systemd: measure this driver, here")
	flag.StringVar(&b.drivers, "drivers", "process,cgroup,systemd", "the drivers to measure, all but process on hosts that are booted for them")
	simulate := flag.Int("simulate", 0, "be so many simulated hosts, and measure nothing")
	flag.IntVar(&b.crowd, "simulated", 200, "simulated hosts to measure; 0: none")
	flag.BoolVar(&b.behindSSH, "remote", false, "measure hosts behind SSH, too")
	flag.StringVar(&b.tinyd, "tinyd", "", "a tinyd that was built already; without it gcc builds one")
	flag.StringVar(&b.tmpfs, "tmpfs", "/dev/shm", "a tmpfs for what lies in /run otherwise: records that no reboot survives; empty: beside the rest in TMPDIR")
	flag.Parse()
	run := b.run
	if *simulate > 0 {
		run = func(ctx context.Context) error { return beHosts(ctx, *simulate, os.Stdin, os.Stdout) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// bench is one run of all measurements.
type bench struct {
	reconciler    string
	hello         string
	n, few        int
	rounds, kills int
	idle          time.Duration
	tmpfs         string
	out           io.Writer

	drivers string // to measure
	// lookingOnly is for a short measurement of what somebody works at.
	lookingOnly bool
	metricsOnly bool
	pageOnly    bool
	behindSSH   bool
	crowd       int
	driver      string // of the daemons

	dir   string // all of it, but for
	fast  string // what lies on the tmpfs
	tinyd string
	files int
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.kills > b.few || b.few >= b.n || b.kills < 1 || b.rounds < 1 {
		return errors.New("it must be 1 <= kills <= few < n, and at least one round")
	}
	if b.dir, err = os.MkdirTemp("", "reconciler-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.clear()) }()
	if b.tmpfs != "" {
		if b.fast, err = os.MkdirTemp(b.tmpfs, "reconciler-bench-"); err != nil {
			return err
		}
	}
	if b.reconciler != "" {
		if b.reconciler, err = filepath.Abs(b.reconciler); err != nil {
			return err
		}
	}
	if b.hello != "" {
		if b.hello, err = filepath.Abs(b.hello); err != nil {
			return err
		}
	}
	if b.tinyd == "" && !b.pageOnly {
		if b.tinyd, err = buildTinyd(ctx, b.dir); err != nil {
			return err
		}
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "load average before: %s; state in %s, records in %s\n", strings.Join(strings.Fields(string(load))[:3], " "), b.dir, cmp.Or(b.fast, b.dir))

	if b.pageOnly {
		return b.report(ctx, "page", b.thePage)
	}
	if b.driver != "" {
		return b.here(ctx)
	}
	drivers := strings.Split(b.drivers, ",")
	if slices.Contains(drivers, "process") {
		b.driver = "process"
		err = b.here(ctx)
	}
	if b.reconciler != "" {
		err = errors.Join(err, b.report(ctx, "page", b.thePage), b.onHosts(ctx, drivers))
		if b.behindSSH {
			err = errors.Join(err, b.remote(ctx))
		}
		if b.crowd > 0 {
			err = errors.Join(err, b.simulated(ctx, b.crowd))
		}
	}
	return err
}

// here measures one driver on this machine, and prints what came of it.
func (b *bench) here(ctx context.Context) error {
	parts := map[string][]func(context.Context) ([]row, error){
		"process": {b.startAndStop, b.heal, b.idleRun, b.edits, b.refused, b.looking, b.metrics}, "cgroup": {b.cgroup, b.refused, b.looking, b.metrics}, "systemd": {b.systemd, b.refused, b.looking, b.metrics},
	}[b.driver]
	if b.lookingOnly {
		parts = []func(context.Context) ([]row, error){b.looking}
	}
	if b.metricsOnly {
		parts = []func(context.Context) ([]row, error){b.metrics}
	}
	if parts == nil {
		return fmt.Errorf("there is no driver %q to measure: process, cgroup and systemd can be", b.driver)
	}
	return b.report(ctx, b.driver+" driver", parts...)
}

// report takes measurements and prints what came of them, as one table.
func (b *bench) report(ctx context.Context, what string, parts ...func(context.Context) ([]row, error)) error {
	var rows []row
	for _, part := range parts {
		more, err := part(ctx)
		if err != nil {
			return fmt.Errorf("measure the %s: %w", what, err)
		}
		rows = append(rows, more...)
	}
	fmt.Fprintln(b.out)
	if missed := print(b.out, rows); missed > 0 {
		return fmt.Errorf("the %s missed %d bars", what, missed)
	}
	return nil
}

// startAndStop alternates floors and ours, so that both see the same machine.
func (b *bench) startAndStop(ctx context.Context) ([]row, error) {
	var startFloors, stopFloors figures
	var ours startStop
	for range b.rounds {
		took, all, err := b.startFloor(ctx, b.n)
		stopped, stopErr := stopFloor(all)
		if err := errors.Join(err, stopErr); err != nil {
			return nil, err
		}
		startFloors.took(took)
		stopFloors.took(stopped)
		if b.reconciler != "" {
			if err := b.startStopOurs(ctx, &ours); err != nil {
				return nil, err
			}
		}
		b.progress("start %d: floor %s ms", b.n, short(startFloors[len(startFloors)-1]))
	}
	if b.reconciler == "" {
		return []row{
			{what: fmt.Sprintf("floor: fork and exec of %d, to the last main()", b.n), unit: "ms", ours: startFloors},
			{what: fmt.Sprintf("floor: signal and wait of %d", b.n), unit: "ms", ours: stopFloors},
		}, nil
	}
	return []row{
		{what: fmt.Sprintf("apply: start of %d, to the last main()", b.n), unit: "ms", ours: ours.started, floor: startFloors, bar: 1.5, peer: "1208 ms process-compose"},
		{what: fmt.Sprintf("apply: start of %d, the whole command", b.n), unit: "ms", ours: ours.applied, floor: startFloors},
		{what: fmt.Sprintf("apply: nothing to do, %d in %d files", b.n, b.n), unit: "ms", ours: ours.noop, bar: 75, peer: "75-91 ms process-compose"},
		{what: fmt.Sprintf("stop of %d, to the last end", b.n), unit: "ms", ours: ours.gone, floor: stopFloors, bar: 4, peer: "125 ms process-compose"},
		{what: fmt.Sprintf("stop of %d, the whole command", b.n), unit: "ms", ours: ours.stopped, floor: stopFloors, peer: "131 ms process-compose"},
	}, nil
}

func (b *bench) heal(ctx context.Context) ([]row, error) {
	floor, err := b.healFloor(ctx, b.few, b.kills)
	if err != nil {
		return nil, err
	}
	b.progress("heal: floor %s", floor.text("ms"))
	if b.reconciler == "" {
		return []row{{what: fmt.Sprintf("floor: kill -9 to the replacement's main(), %d running", b.few), unit: "ms", ours: floor}}, nil
	}
	ours, err := b.healOurs(ctx)
	if err != nil {
		return nil, err
	}
	return []row{{what: fmt.Sprintf("run: kill -9 to the replacement's main(), %d running", b.few), unit: "ms", ours: ours, floor: floor, bar: 3, peer: "4.99 ms runit"}}, nil
}

func (b *bench) progress(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
