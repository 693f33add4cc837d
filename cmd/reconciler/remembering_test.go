package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestManifestsOfWhatWasBuilt: which manifests a verb reads that names daemons, or a selector, and for which sets they were applied.
func TestManifestsOfWhatWasBuilt(t *testing.T) {
	dir := t.TempDir()
	web, db := filepath.Join(dir, "web.yaml"), filepath.Join(dir, "db.yaml")
	for _, file := range []string{web, db} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	known := map[string]rememberedInputs{
		"web": {Files: []string{web}, Set: "shop"}, "api": {Files: []string{dir}, Set: "shop"}, "db": {Files: []string{db}, Set: "data"}, "tool": {Files: []string{db}},
	}
	for name, c := range map[string]struct{ names, files, sets []string }{
		"one":                       {names: []string{"web"}, files: []string{web}, sets: []string{"shop"}},
		"with its folder":           {names: []string{"web", "api"}, files: []string{dir}, sets: []string{"shop"}},
		"one that was only built":   {names: []string{"tool", "web"}, files: []string{db, web}, sets: []string{"shop"}},
		"of two sets":               {names: []string{"db", "web"}, files: []string{db, web}, sets: []string{"data", "shop"}},
		"nothing was ever applied":  {names: []string{"tool"}, files: []string{db}},
		"a selector of all of them": {names: []string{"api", "db", "tool", "web"}, files: []string{dir}, sets: []string{"shop", "data"}},
	} {
		t.Run(name, func(t *testing.T) {
			var in inputs
			sets, err := in.from(c.names, known)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.files, in.Files); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(c.sets, sets); d != "" {
				t.Error(d)
			}
		})
	}
	if err := os.Remove(db); err != nil {
		t.Fatal(err)
	}
	if known["db"].there() || !known["web"].there() {
		t.Error("a manifest that is gone isn't told from one that is there")
	}
}
