package spec

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// unknownField tells that s has no field of that name, and which one was probably meant.
func (d *decoder) unknownField(s *shape, key *yaml.Node) {
	if s.field("apiVersion") != nil && key.Value == "status" || len(d.problems) > maxProblems {
		return
	}
	field := string(appendField(d.path, key.Value))
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	if near := nearest(key.Value, names); near != "" {
		d.problemAt(key, field, "unknown field: did you mean %q?", near)
		d.meant = append(d.meant, string(appendField(d.path, near)))
	} else if where := d.root.find(key.Value, ""); where != "" {
		d.problemAt(key, field, "unknown field: did you mean %s?", where)
	} else {
		d.problemAt(key, field, "unknown field: it can be one of %s", strings.Join(names, ", "))
	}
}

// find returns the path of the first field of that name, below path; empty where there is none.
func (s *shape) find(name, path string) string {
	for _, f := range s.fields {
		at := string(appendField([]byte(path), f.name))
		if f.name == name {
			return at
		}
		if found := f.find(name, at); found != "" {
			return found
		}
	}
	if s.elem != nil {
		return s.elem.find(name, path+"[]")
	}
	return ""
}

// nearest returns the candidate that is spelled most like name, empty where none is close.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", 1+max(1, min(3, len(name)/3))
	for _, c := range candidates {
		if len(name) > len(c)+3 {
			continue
		}
		if n := distance(strings.ToLower(name), strings.ToLower(c)); n < bestDistance {
			best, bestDistance = c, n
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
