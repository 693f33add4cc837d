// Command agent stands in for reconciler where only its way to a host is tested: as an agent it says that it is one and echoes its stdin, and --install puts it into its place.
package main

import (
	"fmt"
	"io"
	"os"

	"reconciler.dev/reconciler/pkg/remote/bootstrap"
)

// version makes programs that differ: it is set when one is built.
var version = "none"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "reconciler:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 4 && args[0] == "agent" && args[1] == "--install":
		return bootstrap.Install(args[2], self, args[3])
	case len(args) == 1 && args[0] == "agent":
		fmt.Printf("stand-in %s of user %d\n", version, os.Getuid())
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	}
	return fmt.Errorf("called with %q", args)
}
