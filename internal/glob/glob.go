// Package glob says which of the files below a folder a list of patterns means. It is pure: it matches names and never looks at a disk.
//
// A pattern is a relative path with slashes. In a segment, *, ? and [...] are those of path.Match; ** as a whole segment stands for any number of folders, none
// included; {a,b} is either. A pattern without wildcards in its last segment also means all that is below, should that be a folder. What begins with a dot is meant only by a
// segment that begins with one, as in a shell. A pattern with ! before it takes away what others mean, wherever it stands in the list.
package glob

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxAlternatives bounds what the braces of one pattern may stand for.
const maxAlternatives = 256

// Set is a list of patterns. It may be used by any number of goroutines. The zero Set means no file.
type Set struct{ want, not []pattern }

// pattern is one pattern by its segments.
type pattern []string

// everything is the segment that stands for any number of folders.
const everything = "**"

// Parse understands patterns. The error names the first that isn't one.
func Parse(patterns []string) (Set, error) {
	var s Set
	for _, text := range patterns {
		body, not := strings.CutPrefix(text, "!")
		bodies, err := expand(body)
		if err != nil {
			return Set{}, fmt.Errorf("read pattern %q: %w", text, err)
		}
		for _, b := range bodies {
			p, err := parse(b)
			if err != nil {
				return Set{}, fmt.Errorf("read pattern %q: %w", text, err)
			}
			if not {
				s.not = append(s.not, p)
			} else {
				s.want = append(s.want, p)
			}
		}
	}
	return s, nil
}

func parse(text string) (pattern, error) {
	if strings.HasPrefix(text, "/") {
		return nil, errors.New("it is absolute: write it relative to the folder")
	}
	p := pattern{}
	for seg := range strings.SplitSeq(path.Clean(text), "/") {
		switch _, err := path.Match(seg, ""); {
		case err != nil:
			return nil, err
		case seg == "..":
			return nil, errors.New("it leads out of the folder: choose a folder above")
		case seg != ".":
			p = append(p, seg)
		}
	}
	if len(p) == 0 || !wild(p[len(p)-1]) {
		p = append(p, everything)
	}
	return p, nil
}

func wild(segment string) bool { return strings.ContainsAny(segment, `*?[\`) }

// expand writes out the braces of a pattern.
func expand(text string) ([]string, error) {
	before, after, ok := strings.Cut(text, "{")
	if !ok {
		if strings.IndexByte(text, '}') >= 0 {
			return nil, errors.New("a } has no {")
		}
		return []string{text}, nil
	}
	words, rest, err := alternatives(after)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, w := range words {
		all, err := expand(before + w + rest)
		if err != nil {
			return nil, err
		}
		if out = append(out, all...); len(out) > maxAlternatives {
			return nil, fmt.Errorf("its braces stand for more than %d patterns", maxAlternatives)
		}
	}
	return out, nil
}

// alternatives splits what follows a { at its commas, up to the } that belongs to it.
func alternatives(text string) (words []string, rest string, err error) {
	depth, from := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == ',' && depth == 0:
			words, from = append(words, text[from:i]), i+1
		case c == '}':
			return append(words, text[from:i]), text[i+1:], nil
		}
	}
	return nil, "", errors.New("a { has no }")
}

// Match says whether a file is meant. name is its path relative to the folder, with slashes.
func (s Set) Match(name string) bool {
	segments := strings.Split(name, "/")
	matches := func(p pattern) bool { return p.after(segments)[len(p)] }
	return slices.ContainsFunc(s.want, matches) && !slices.ContainsFunc(s.not, matches)
}

// Below says whether a file below dir might be meant, so that others need not be entered. The folder itself is ".".
func (s Set) Below(dir string) bool {
	if dir == "." {
		return len(s.want) > 0
	}
	segments := strings.Split(dir, "/")
	leads := func(p pattern) bool { return slices.Contains(p.after(segments)[:len(p)], true) }
	swallows := func(p pattern) bool { return p[len(p)-1] == everything && p.after(segments)[len(p)] }
	return slices.ContainsFunc(s.want, leads) && !slices.ContainsFunc(s.not, swallows)
}

// after says for each number of p's segments whether the path's could have been matched by just those. The last one is that all were.
func (p pattern) after(segments []string) []bool {
	now := make([]bool, len(p)+1)
	now[0] = true
	p.skip(now)
	for _, seg := range segments {
		next := make([]bool, len(p)+1)
		for i, at := range now[:len(p)] {
			switch {
			case !at:
			case p[i] == everything:
				next[i] = next[i] || !strings.HasPrefix(seg, ".")
			case fits(p[i], seg):
				next[i+1] = true
			}
		}
		p.skip(next)
		now = next
	}
	return now
}

// skip lets each ** that has been reached stand for no folder at all.
func (p pattern) skip(at []bool) {
	for i, seg := range p {
		if at[i] && seg == everything {
			at[i+1] = true
		}
	}
}

func fits(segment, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(segment, ".") {
		return false
	}
	ok, err := path.Match(segment, name)
	return ok && err == nil
}
