package main

import (
	"context"
	"errors"
)

// cover runs the tests with coverage across packages and leaves coverage.out and coverage.html in the module's root.
func (c *checker) cover(ctx context.Context) error {
	r, err := c.goTest(ctx, "-coverprofile=coverage.out", "-coverpkg=./pkg/...,./internal/...,./cmd/...", "./...")
	r.print(c.out)
	return errors.Join(err,
		c.tool(ctx, nil, "go", "tool", "cover", "-html=coverage.out", "-o=coverage.html"),
		c.tool(ctx, nil, "go", "tool", "cover", "-func=coverage.out"))
}
