package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"reconciler.dev/reconciler/test/labhost"
)

// where the programs lie on a host.
const hostDir = "/srv/bench"

// onHosts measures the drivers that need a host of their own, each on one that is booted for it.
func (b *bench) onHosts(ctx context.Context, drivers []string) (err error) {
	kinds := map[string]labhost.Kind{"cgroup": labhost.Cgroup, "systemd": labhost.Systemd}
	drivers = slices.DeleteFunc(drivers, func(d string) bool { return kinds[d] == "" })
	if len(drivers) == 0 {
		return nil
	}
	lab, err := labhost.Open(ctx)
	if err != nil {
		return fmt.Errorf("boot hosts to measure on: %w", err)
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	for _, d := range drivers {
		err = errors.Join(err, b.onHost(ctx, lab, kinds[d], d))
	}
	return err
}

// onHost has this program measure one driver on a host.
func (b *bench) onHost(ctx context.Context, lab *labhost.Lab, kind labhost.Kind, driver string) (err error) {
	h, err := lab.Start(ctx, kind)
	if err != nil {
		return fmt.Errorf("measure the %s driver: %w", driver, err)
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	programs := map[string]string{"bench": "/proc/self/exe", "reconciler": b.reconciler, "tinyd": b.tinyd}
	if b.hello != "" {
		programs["hello"] = b.hello
	}
	for name, from := range programs {
		content, err := os.ReadFile(from)
		if err == nil {
			err = h.Put(filepath.Join(hostDir, name), content, 0o755)
		}
		if err != nil {
			return fmt.Errorf("measure the %s driver: %w", driver, err)
		}
	}
	in := func(name string) string { return filepath.Join(hostDir, name) }
	cmd := h.Command(ctx, in("bench"), "-driver", driver, "-reconciler", in("reconciler"), "-tinyd", in("tinyd"),
		"-n", fmt.Sprint(b.n), "-few", fmt.Sprint(b.few), "-rounds", fmt.Sprint(b.rounds), "-kills", fmt.Sprint(b.kills), "-tmpfs", "/run")
	if b.lookingOnly {
		cmd.Args = append(cmd.Args, "-looking")
	}
	if b.metricsOnly {
		cmd.Args = append(cmd.Args, "-metrics")
	}
	if b.hello != "" {
		cmd.Args = append(cmd.Args, "-hello", in("hello"))
	}
	cmd.Stdout, cmd.Stderr = b.out, b.out
	b.progress("\nthe %s driver, on a host of its own:", driver)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("measure the %s driver: %w", driver, err)
	}
	return nil
}
