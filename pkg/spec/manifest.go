package spec

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Manifest is one document that declares a daemon, as written, with defaults filled in.
type Manifest struct {
	DaemonSpec
	// File is where it was read: a path as the user gave it, or "stdin".
	File string
	// Line and Column say where in the file the document starts, from 1.
	Line, Column int

	source
}

// HostManifest is one document that declares a host, as written, with defaults filled in.
type HostManifest struct {
	Host
	// File, Line and Column are as in Manifest.
	File         string
	Line, Column int

	source
}

// Documents are all that some sources declare.
type Documents struct {
	Daemons []Manifest
	Hosts   []HostManifest
}

// source is what positions in a document are looked up in.
type source struct {
	root *yaml.Node // nil for a document that no loader made
	skew int        // lines of the file before root's line 1
	// broken says that something is wrong with the document; such a one never leaves the package.
	broken bool
}

// origin is where a document stands, for problems of it.
type origin struct {
	file         string
	line, column int
	source
}

func (m *Manifest) origin() origin     { return origin{m.File, m.Line, m.Column, m.source} }
func (m *HostManifest) origin() origin { return origin{m.File, m.Line, m.Column, m.source} }

// Source is where the manifest stands, FILE:LINE.
func (m *Manifest) Source() string { return m.origin().String() }

// Source is where the document stands, FILE:LINE.
func (m *HostManifest) Source() string { return m.origin().String() }

func (o origin) String() string {
	if o.line == 0 {
		return o.file
	}
	return fmt.Sprintf("%s:%d", o.file, o.line)
}

// Dir is the folder that paths in a document are relative to: that of its file, or the working directory for stdin.
func (m *HostManifest) Dir() (string, error) { return folderOf(m.File, os.Getwd) }

// Problem is one thing that is wrong with a manifest, or one source that can't be read.
type Problem struct {
	File string
	// Line and Column are from 1; 0 where there is no telling.
	Line, Column int
	// Field is its path, as in spec.health.url; empty where no field is to blame.
	Field   string
	Message string
}

// String is FILE:LINE:COLUMN: FIELD: MESSAGE, without what is not known.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	for _, n := range []int{p.Line, p.Column} {
		if n > 0 {
			fmt.Fprintf(&b, ":%d", n)
		}
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	return b.String() + p.Message
}

// Problems are all that is wrong with some manifests, in the order they stand in. They are an error where there is one.
type Problems []Problem

// maxTold is how many problems a message has room for.
const maxTold = 500

// Error is one line for each problem, and where there are very many, one for the rest.
func (ps Problems) Error() string {
	var lines []string
	for _, p := range ps[:min(len(ps), maxTold)] {
		lines = append(lines, p.String())
	}
	if len(ps) > maxTold {
		lines = append(lines, fmt.Sprintf("and %d more", len(ps)-maxTold))
	}
	return strings.Join(lines, "\n")
}

// err is ps as an error, nil where there is none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// inOrder puts the problems in the order of the files, and in a file in the order of their places. What two manifests share is told once.
func (ps Problems) inOrder(files []string) Problems {
	rank := make(map[string]int, len(files))
	for i, f := range files {
		if f == "-" {
			f = stdinName
		}
		rank[f] = cmp.Or(rank[f], i+1)
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}
