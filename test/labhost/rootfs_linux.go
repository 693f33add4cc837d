package labhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// rootfs returns the root file system of hosts with systemd, of the machine's own release or another of Debian's. hack/rootfs.sh knows where it is, and makes it if it isn't there.
func rootfs(ctx context.Context, release string) (string, error) {
	module, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(module, "hack", "rootfs.sh"))
	if release != "" {
		cmd.Args = append(cmd.Args, release)
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("make the root file system: %w\n%s", err, &said)
	}
	return strings.TrimSpace(out.String()), nil
}

// moduleRoot is the directory of the module that the working directory is in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the module: there is no go.mod above the working directory")
		}
	}
}
