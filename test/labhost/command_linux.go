package labhost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// testCgroup is where on a Cgroup host things are run.
const testCgroup = "test"

// Command returns the command that runs a program on the host as root: with systemd as a service of its own, else as a plain process. Its standard files
// may be set; Env and Dir don't count there: use env(1). When ctx ends, what it waits for is given up; what runs there as a service goes on.
func (h *Host) Command(ctx context.Context, args ...string) *exec.Cmd {
	return h.command(ctx, "root", false, args)
}

// As is like Command for alice, on hosts where she has a user manager: what is run is a service of that. She is at home.
func (h *Host) As(ctx context.Context, user string, args ...string) *exec.Cmd {
	return h.command(ctx, user, false, args)
}

func (h *Host) command(ctx context.Context, user string, delegate bool, args []string) *exec.Cmd {
	all := []string{"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"}
	cmd := nsenter(ctx, h.boot.pid, all, h.wrap(user, delegate, args)...)
	cmd.Env = []string{"PATH=" + hostPath}
	if h.boot.inside != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(h.boot.inside.Fd())
	}
	return cmd
}

// wrap makes args the command that has them run by whoever is in charge of the host.
func (h *Host) wrap(user string, delegate bool, args []string) []string {
	if !h.Kind.systemd() {
		if user == "root" {
			return args
		}
		return append([]string{"runuser", "-u", user, "--"}, args...)
	}
	run := []string{"systemd-run", "--quiet", "--pipe", "--wait", "--collect"}
	if user != "root" {
		const runtimeDir = "XDG_RUNTIME_DIR=/run/user/1000"
		run = append([]string{"runuser", "-u", user, "--", "env", runtimeDir}, append(run, "--user")...)
	}
	if delegate {
		run = append(run, "--property=Delegate=yes")
	}
	run = append(run, "--")
	for _, a := range args {
		run = append(run, strings.ReplaceAll(a, "$", "$$")) // the service manager expands variables
	}
	return run
}

// Put writes a file on the host, with the directories above it. The path is absolute.
func (h *Host) Put(path string, content []byte, mode os.FileMode) error {
	return h.Files(func(r *os.Root) error {
		if err := r.MkdirAll(filepath.Dir(path)[1:]+"/", 0o755); err != nil {
			return err
		}
		if err := r.WriteFile(path[1:], content, mode); err != nil {
			return err
		}
		return r.Chmod(path[1:], mode)
	})
}

// Get reads a file of the host. The path is absolute.
func (h *Host) Get(path string) (content []byte, err error) {
	err = h.Files(func(r *os.Root) error {
		content, err = r.ReadFile(path[1:])
		return err
	})
	return content, err
}

// Path is where this machine sees a file of the host, until that boots again. A link there may lead to a file of this machine's.
func (h *Host) Path(path string) string {
	return filepath.Join("/proc", fmt.Sprint(h.boot.pid), "root", path)
}

// Files opens the host's root, in which a link can't lead out to the machine's files.
func (h *Host) Files(do func(*os.Root) error) error {
	root, err := os.OpenRoot(h.Path("/"))
	if err != nil {
		return fmt.Errorf("look into %s: %w", h.Name, err)
	}
	defer root.Close()
	if err := do(root); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// Freeze stops every process of the host at once, or lets them go on: it hangs, as a machine does whose disk is gone.
func (h *Host) Freeze(frozen bool) error {
	state := "0"
	if frozen {
		state = "1"
	}
	return os.WriteFile(filepath.Join(h.boot.cgroup, "cgroup.freeze"), []byte(state), 0)
}
