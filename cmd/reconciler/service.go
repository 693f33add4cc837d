package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/drivers/systemd"
	"reconciler.dev/reconciler/pkg/spec"
)

// bootService is what keeps a run going from boot on.
type bootService interface {
	// Text is the unit that Install would write.
	Text(ctx context.Context, s systemd.Service) ([]byte, error)
	// Install makes s the unit, enabled and running. It says where, and whether that was new or different.
	Install(ctx context.Context, s systemd.Service) (systemd.Installed, error)
	// Remove ends the unit and removes it. removed is false where there is none.
	Remove(ctx context.Context) (removed bool, err error)
}

// systemdBoot is the service manager of this machine, or of this user.
type systemdBoot struct{ c *cli }

func (b systemdBoot) Text(ctx context.Context, s systemd.Service) ([]byte, error) {
	dirs, err := b.c.dirs()
	if err != nil {
		return nil, err
	}
	return systemd.ServiceText(ctx, systemd.Options{Dirs: dirs}, s)
}

func (b systemdBoot) Install(ctx context.Context, s systemd.Service) (systemd.Installed, error) {
	dirs, err := b.c.dirs()
	if err != nil {
		return systemd.Installed{}, err
	}
	return systemd.InstallService(ctx, systemd.Options{Dirs: dirs}, s)
}

func (b systemdBoot) Remove(ctx context.Context) (bool, error) {
	dirs, err := b.c.dirs()
	if err != nil {
		return false, err
	}
	return systemd.RemoveService(ctx, systemd.Options{Dirs: dirs})
}

func (c *cli) installServiceCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "install-service -f DIR", Short: "Keep daemons as the manifests say from boot on",
		Long: `Write, enable and start a unit of systemd, reconciler.service, that does reconciler run with these manifests: the system's as root, else
your own service manager's (which runs from boot on if you linger: loginctl enable-linger).

Daemons that the process and cgroup drivers run are restarted by it and come back at boot. They outlive its end and its restart:
they are left alone when it ends. To do it again changes what differs; a unit of that name that somebody else wrote is refused.`,
		Example: `  reconciler install-service -f /etc/daemons --prune
  reconciler install-service -f /etc/daemons --dry-run`,
		Args: noArgs,
	}
	var p planning
	c.planningFlags(cmd, &p)
	resync := cmd.Flags().Duration("resync", 10*time.Minute, "as of reconciler run")
	var show showing
	show.flags(cmd)
	dry := cmd.Flags().Bool("dry-run", false, "print the unit, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.check(cmd); err != nil {
			return err
		}
		s, err := c.service(&p, *resync, show)
		if err != nil {
			return err
		}
		if *dry {
			text, err := c.boot.Text(cmd.Context(), s)
			if err != nil {
				return err
			}
			_, err = c.out.Write(text)
			return err
		}
		done, err := c.boot.Install(cmd.Context(), s)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "service/reconciler %s\n", done.Action)
		c.note("%s runs now, and at every boot (%s)", systemd.ServiceName, done.Path)
		c.noteNotLingering()
		return nil
	}
	return cmd
}

// noteNotLingering says so where a user's own service manager isn't started at boot.
func (c *cli) noteNotLingering() {
	dirs, err := c.dirs()
	if err != nil {
		return
	}
	if f := c.gather(dirs); f.UID != 0 && !f.Lingers {
		c.note("Note: %s doesn't linger, so that is from your first login on, and ends with your last session; to mend it, as root: loginctl enable-linger %[1]s", f.User)
	}
}

func (c *cli) uninstallServiceCmd() *cobra.Command {
	return &cobra.Command{
		Use: "uninstall-service", Short: "Remove what install-service installed",
		Long: "Stop, disable and remove the unit that install-service wrote, and no other. The daemons are left as they are.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			removed, err := c.boot.Remove(cmd.Context())
			if err != nil {
				return err
			}
			word := "unchanged"
			if removed {
				word = "deleted"
			}
			fmt.Fprintf(c.out, "service/reconciler %s\n", word)
			return nil
		},
	}
}

// service is the unit that runs what p says, as this command would where it stands.
func (c *cli) service(p *planning, resync time.Duration, show showing) (systemd.Service, error) {
	if slices.Contains(p.Files, "-") {
		return systemd.Service{}, usagef("-f -: a service has no stdin; name files or directories")
	}
	if _, err := c.load(p.inputs); err != nil {
		return systemd.Service{}, err
	}
	tool, err := os.Executable()
	if err != nil {
		return systemd.Service{}, fmt.Errorf("find this program: %w", err)
	}
	s := systemd.Service{Tool: tool, Args: []string{"run"}, Env: map[string]string{}}
	for _, f := range p.Files {
		path, err := filepath.Abs(f)
		if err != nil {
			return s, fmt.Errorf("find %s: %w", f, err)
		}
		s.Args = append(s.Args, "-f", path)
	}
	add := func(set bool, flags ...string) {
		if set {
			s.Args = append(s.Args, flags...)
		}
	}
	add(p.Recursive, "-R")
	add(p.Selector != "", "-l", p.Selector)
	add(*p.set != "default", "--set", *p.set)
	add(p.prune, "--prune")
	add(p.guard != 0, "--prune-guard="+strconv.Itoa(p.guard))
	add(p.force, "--force")
	add(len(p.hosts) > 0, "--host", strings.Join(p.hosts, ","))
	add(p.parallel != defaultParallel, "--max-parallel-hosts="+strconv.Itoa(p.parallel))
	add(resync != 10*time.Minute, "--resync", resync.String())
	add(c.drivers != "", "--drivers", c.drivers)
	listening, err := show.args()
	if err != nil {
		return s, err
	}
	s.Args = append(s.Args, listening...)
	kinds, err := driverKinds(c.drivers)
	if err != nil {
		return s, err
	}
	s.Cgroups = len(kinds) > 0 && kinds[0] == spec.DriverCgroup
	if c.stateDir != "" {
		dir, err := filepath.Abs(c.stateDir)
		if err != nil {
			return s, fmt.Errorf("find %s: %w", c.stateDir, err)
		}
		add(true, "--state-dir", dir)
	} else if home := c.getenv("XDG_STATE_HOME"); home != "" && os.Geteuid() != 0 {
		s.Env["XDG_STATE_HOME"] = home
	}
	return s, nil
}
