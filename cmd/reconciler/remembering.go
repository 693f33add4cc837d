package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// rememberedInputs are the manifests that a daemon was built from: where to find them when somebody only names the daemon.
type rememberedInputs struct {
	Files     []string `json:"files"` // absolute
	Recursive bool     `json:"recursive,omitempty"`
	// Set is the owner set that it was applied for, as far as it was.
	Set string `json:"set,omitempty"`
}

func remembered(dirs layout.Dirs) string { return filepath.Join(dirs.Builds(), "manifests") }

// rememberedManifests returns what is remembered, by the names of daemons.
func (c *cli) rememberedManifests() (map[string]rememberedInputs, error) {
	dirs, err := c.dirs()
	if err != nil {
		return nil, err
	}
	dir := remembered(dirs)
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find the manifests that were built from before: %w", err)
	}
	known := map[string]rememberedInputs{}
	for _, f := range files {
		name, isNote := strings.CutSuffix(f.Name(), ".json")
		if from := readRemembered(filepath.Join(dir, f.Name())); isNote && len(from.Files) > 0 {
			known[name] = from
		}
	}
	return known, nil
}

// there tells whether all of it is where it was.
func (r rememberedInputs) there() bool {
	return !slices.ContainsFunc(r.Files, func(file string) bool {
		_, err := os.Stat(file)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// readRemembered returns nothing where there is nothing to be understood.
func readRemembered(path string) (from rememberedInputs) {
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &from) != nil {
		return rememberedInputs{}
	}
	return from
}

// rememberAll is remember for what is declared.
func (c *cli) rememberAll(in inputs, set string, d declaration) {
	for _, p := range d.places {
		c.remember(in, set, p.Daemons)
	}
}

// remember notes from which manifests daemons are built, and for which set they are applied; empty: that stays as it was. It is an aid to people, and never fails a command.
func (c *cli) remember(in inputs, set string, ms []spec.Manifest) {
	now := rememberedInputs{in.absolute(), in.Recursive, set}
	dirs, err := c.dirs()
	if err != nil || now.Files == nil {
		return // who needs the directories is told what is wrong with them
	}
	dir := remembered(dirs)
	for _, m := range ms {
		if m.Spec.Build == nil {
			continue
		}
		path := filepath.Join(dir, m.Metadata.Name+".json")
		was := readRemembered(path)
		if now.Set = set; set == "" {
			now.Set = was.Set
		}
		if reflect.DeepEqual(was, now) {
			continue
		}
		data, err := json.Marshal(now)
		if err == nil {
			err = errors.Join(dirs.Make(), os.MkdirAll(dir, 0o700))
		}
		if err == nil {
			err = atomicfile.Write(path, data, 0o600, atomicfile.Volatile)
		}
		if err != nil {
			c.logger().Error(err, "remember the manifest", "name", m.Metadata.Name)
			return
		}
	}
}
