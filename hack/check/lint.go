package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// platforms are what the sources must build for: where reconciler runs, and where it is run from.
var platforms = [...]string{"linux/amd64", "linux/arm64", "linux/arm", "darwin/arm64", "windows/amd64"}

// lint does every check and reports all of them, so that one run shows all there is to mend.
func (c *checker) lint(ctx context.Context) error {
	tools, err := c.buildTools(ctx)
	if err != nil {
		return err
	}
	errs := []error{
		c.quiet(ctx, "gofmt", "-l", "-s", "."),
		c.tool(ctx, nil, "go", "mod", "tidy", "-diff"),
		c.tool(ctx, nil, "go", "-C", "hack/tools", "mod", "tidy", "-diff"),
		c.tool(ctx, nil, "go", "vet", "./..."),
		c.tool(ctx, nil, "go", "vet", failpoints, "./..."),
		c.tool(ctx, nil, "go", "fix", "-diff", "./..."),
		c.tool(ctx, nil, filepath.Join(tools, "staticcheck"), "./..."),
		c.tool(ctx, nil, filepath.Join(tools, "go-errorlint"), "-errorf-multi", "./..."),
	}
	for _, p := range platforms {
		goos, goarch, _ := strings.Cut(p, "/")
		errs = append(errs, c.tool(ctx, []string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + goarch}, "go", "vet", "./..."))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "lint: all good")
	return nil
}

// quiet runs a tool that lists what is wrong and exits 0 all the same.
func (c *checker) quiet(ctx context.Context, name string, args ...string) error {
	var said bytes.Buffer
	cmd := c.command(ctx, nil, name, args...)
	cmd.Stdout = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if said.Len() > 0 {
		return fmt.Errorf("%s %s lists:\n%s", name, strings.Join(args, " "), said.String())
	}
	return nil
}

// buildTools builds the linters that hack/tools/go.mod pins, and returns their folder.
func (c *checker) buildTools(ctx context.Context) (string, error) {
	dir := filepath.Join(c.root, ".cache", "tools")
	return dir, c.tool(ctx, nil, "go", "-C", "hack/tools", "build", "-o", dir+"/", "tool")
}
