package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by make build: -ldflags "-X main.version=v1.2.3".
var version = development

const development = "devel"

// toolVersion is what this build calls itself, in stamps too: the version it was built as, or what the module and the commit tell.
func toolVersion() string {
	if version != development {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = development
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += "+" + s.Value[:12]
			}
		}
	}
	return v
}

type versionInfo struct {
	Version   string `json:"version"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

func (c *cli) versionCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version", Args: noArgs}
	out := enumFlag(cmd, "output", "o", "output format", "", "json", "yaml")
	cmd.RunE = func(*cobra.Command, []string) error {
		v := versionInfo{toolVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
		if out.value != "" {
			return c.encode(out.value, v)
		}
		_, err := fmt.Fprintf(c.out, "reconciler %s (%s, %s)\n", v.Version, v.GoVersion, v.Platform)
		return err
	}
	return cmd
}
