package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// began is one line of tinyd: daemon id, its process, and when its main() began.
type began struct {
	id  string
	pid int
	at  time.Time
}

// mains is the file that tinyds write to.
type mains string

// read returns what was written, less the first skip lines.
func (m mains) read(skip int) ([]began, error) {
	text, err := os.ReadFile(string(m))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := parseMains(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", string(m), err)
	}
	return all[min(skip, len(all)):], nil
}

func parseMains(text []byte) ([]began, error) {
	var all []began
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		f := bytes.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("line %q is not ID PID NANOSECONDS", line)
		}
		pid, err := strconv.Atoi(string(f[1]))
		if err != nil {
			return nil, err
		}
		ns, err := strconv.ParseInt(string(f[2]), 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, began{string(f[0]), pid, time.Unix(0, ns)})
	}
	return all, nil
}

// await returns the n lines after the first skip, once they are there.
func (m mains) await(ctx context.Context, skip, n int) ([]began, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		all, err := m.read(skip)
		if err != nil {
			return nil, err
		}
		if len(all) >= n {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %d daemons to reach main(), %d did: %w", n, len(all), ctx.Err())
		case <-look.C:
		}
	}
}

// last is when the last of them began.
func last(all []began) time.Time {
	var t time.Time
	for _, b := range all {
		if b.at.After(t) {
			t = b.at
		}
	}
	return t
}
