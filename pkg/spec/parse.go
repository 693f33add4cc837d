package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	maxDocument = 1 << 20  // bytes of one document
	maxStream   = 32 << 20 // bytes of one file or of stdin

	maxDocuments = 10000 // of one stream, and items of one List
)

// ParseAll reads the documents of one stream, YAML or JSON, strictly: manifests with their defaults filled in, all of them valid. The error is
// Problems with all that is wrong, and there are no documents then. file is what messages call the stream, and what relative paths in it are relative to.
func ParseAll(file string, data []byte) (Documents, error) {
	p := parseStream(file, data)
	ps := append(p.problems, checkSet(p.Documents)...).inOrder([]string{file})
	if err := ps.err(); err != nil {
		return Documents{}, err
	}
	return p.Documents, nil
}

// Parse is ParseAll for the manifests of daemons. Those of hosts are checked, and left out.
func Parse(file string, data []byte) ([]Manifest, error) {
	docs, err := ParseAll(file, data)
	return docs.Daemons, err
}

// parseStream reads and validates each document for itself.
func parseStream(file string, data []byte) parsed {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return broken(Problem{File: file, Message: "this is not UTF-8 text"})
	}
	docs := split(data)
	if len(docs) > maxDocuments {
		return broken(Problem{File: file, Message: fmt.Sprintf("this has %d documents: the most is %d", len(docs), maxDocuments)})
	}
	results := make([]parsed, len(docs))
	inParallel(len(docs), func(i int) { results[i] = parseDocument(file, docs[i]) })
	return gather(results)
}

// parsed is what came of one file or document.
type parsed struct {
	Documents
	problems Problems
}

func broken(p Problem) parsed { return parsed{problems: Problems{p}} }

func gather(results []parsed) parsed {
	if len(results) == 1 {
		return results[0]
	}
	n := 0
	for _, r := range results {
		n += len(r.Daemons)
	}
	all := parsed{Documents: Documents{Daemons: make([]Manifest, 0, n)}}
	for _, r := range results {
		all.Daemons, all.Hosts, all.problems = append(all.Daemons, r.Daemons...), append(all.Hosts, r.Hosts...), append(all.problems, r.problems...)
	}
	return all
}

// document is a part of a stream, and how many lines stand before it.
type document struct {
	data []byte
	skew int
}

// split cuts a stream at its --- lines, so that a syntax error in one document doesn't hide the next. No YAML value can hold such a line.
func split(data []byte) []document {
	var docs []document
	line, skew, start, content := 0, 0, 0, false
	for at := 0; at < len(data); {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		text := data[at:end]
		if isMarker(text) && content {
			docs = append(docs, document{data[start:at], skew})
			start, skew, content = at, line, false
		}
		if rest := bytes.TrimSpace(text); len(rest) > 0 && rest[0] != '#' && text[0] != '%' && !bytes.Equal(rest, []byte("---")) {
			content = true
		}
		at, line = end, line+1
	}
	if content {
		docs = append(docs, document{data[start:], skew})
	}
	return docs
}

func isMarker(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

func parseDocument(file string, doc document) parsed {
	if len(doc.data) > maxDocument {
		return broken(Problem{File: file, Line: doc.skew + 1, Message: fmt.Sprintf(
			"this document has %d bytes: the most is %s", len(doc.data), people(maxDocument))})
	}
	if nodes, ok := jsonNodes(doc.data); ok {
		return decodeAll(file, doc.skew, nodes)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(doc.data))
	var nodes []*yaml.Node
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if err == nil {
			nodes = append(nodes, n.Content...)
			continue
		}
		out := decodeAll(file, doc.skew, nodes)
		if !errors.Is(err, io.EOF) {
			out.problems = append(out.problems, syntaxProblem(file, doc, err))
		}
		return out
	}
}

func decodeAll(file string, skew int, nodes []*yaml.Node) parsed {
	var out parsed
	for _, n := range nodes {
		items, ps := listItems(file, skew, n)
		out.problems = append(out.problems, ps...)
		for _, item := range items {
			out.decode(file, skew, item)
		}
	}
	return out
}

// listItems returns the items of a document of kind List, as get prints it and kustomize may; any other document is one item.
func listItems(file string, skew int, n *yaml.Node) ([]*yaml.Node, Problems) {
	if isNull(n) {
		return nil, nil
	}
	if kind := child(n, "kind"); n.Kind != yaml.MappingNode || kind == nil || kind.Value != "List" {
		return []*yaml.Node{n}, nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if key := n.Content[i]; !slices.Contains([]string{"apiVersion", "kind", "metadata", "items"}, key.Value) {
			return nil, Problems{{file, key.Line + skew, key.Column, key.Value, "unknown field: a List has items"}}
		}
	}
	items := child(n, "items")
	if items == nil || items.Kind != yaml.SequenceNode {
		return nil, Problems{{file, n.Line + skew, n.Column, "items", "a List has its manifests in items, and there are none"}}
	}
	if len(items.Content) > maxDocuments {
		return nil, Problems{{file, items.Line + skew, items.Column, "items", fmt.Sprintf("this has %d manifests: the most is %d", len(items.Content), maxDocuments)}}
	}
	return items.Content, nil
}

// decode reads and validates one document.
func (p *parsed) decode(file string, skew int, n *yaml.Node) {
	at := source{root: n, skew: skew}
	var ps Problems
	switch {
	case n.Kind != yaml.MappingNode && (n.Kind != yaml.AliasNode || n.Alias.Kind != yaml.MappingNode):
		at.broken = true
		p.Daemons = append(p.Daemons, Manifest{File: file, Line: n.Line + skew, Column: n.Column, source: at})
		ps = Problems{{file, n.Line + skew, n.Column, "", "want a manifest, with apiVersion, kind, metadata and spec; found " + found(n)}}
	case isHost(n):
		h := HostManifest{File: file, Line: n.Line + skew, Column: n.Column, source: at}
		ps = h.decode(n)
		p.Hosts = append(p.Hosts, h)
	default:
		m := Manifest{File: file, Line: n.Line + skew, Column: n.Column, source: at}
		ps = m.decode(n)
		p.Daemons = append(p.Daemons, m)
	}
	p.problems = append(p.problems, ps...)
}

// isHost says whether a document is one of a host, however that is spelled.
func isHost(n *yaml.Node) bool {
	kind := child(n, "kind")
	return kind != nil && nearest(kind.Value, kinds()) == HostKind
}

func (m *Manifest) decode(n *yaml.Node) Problems {
	m.Spec.setDefaults()
	d := newDecoder(m.origin(), manifestShape())
	d.decode(d.root, n, reflect.ValueOf(&m.DaemonSpec).Elem())
	m.Spec.foldHealthURL()
	m.Spec.programDefaults()
	ps := d.judged(func() Problems { return validate(m) })
	m.broken = len(ps) > 0
	return ps
}

func (m *HostManifest) decode(n *yaml.Node) Problems {
	m.Spec.setDefaults()
	d := newDecoder(m.origin(), hostShape())
	d.decode(d.root, n, reflect.ValueOf(&m.Host).Elem())
	ps := d.judged(func() Problems { return validateHost(m) })
	m.broken = len(ps) > 0
	return ps
}

// judged are the problems of a document that was read, and those that validate finds in it.
func (d *decoder) judged(validate func() Problems) Problems {
	ps := d.all()
	if len(ps) < maxProblems && d.expanded < maxExpansion {
		ps = append(ps, d.unblamed(validate())...)
	}
	return ps
}

// unblamed drops the problems of fields that are already blamed, above or below: one mistake is told once.
func (d *decoder) unblamed(ps Problems) Problems {
	blamed := d.meant
	for _, p := range d.problems {
		blamed = append(blamed, p.Field)
	}
	return slices.DeleteFunc(ps, func(p Problem) bool {
		return slices.ContainsFunc(blamed, func(b string) bool { return within(p.Field, b) || within(b, p.Field) })
	})
}

// within says whether path is outer or something in it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && outer != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// syntaxProblem tells a YAML syntax error with its line and, where a tab is to blame, its column.
func syntaxProblem(file string, doc document, err error) Problem {
	p := Problem{File: file, Line: doc.skew + 1, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(p.Message); m != nil {
		line, _ := strconv.Atoi(m[1])
		p.Line, p.Message = doc.skew+line, p.Message[len(m[0]):]
	}
	for i, line := range bytes.Split(doc.data, []byte("\n")) {
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		tab, alias := bytes.IndexByte(indent, '\t'), unknownAlias(line, p.Message)
		switch {
		case tab >= 0 && strings.Contains(p.Message, "token"):
			return Problem{File: file, Line: doc.skew + i + 1, Column: tab + 1, Message: "YAML is not indented with tabs: use spaces"}
		case alias >= 0:
			p.Line, p.Column = doc.skew+i+1, alias+1
			return p
		case p.Line == doc.skew+i+1:
			p.Column = len(indent) + 1
		}
	}
	return p
}

// unknownAlias finds in a line the alias that a message is about, -1 where it isn't there.
func unknownAlias(line []byte, message string) int {
	name, ok := strings.CutPrefix(message, "unknown anchor '")
	name, _, _ = strings.Cut(name, "'")
	if !ok {
		return -1
	}
	return bytes.Index(line, []byte("*"+name))
}

// people writes a number of bytes for people.
func people(n int) string {
	switch {
	case n == 1:
		return "1 byte"
	case n >= 10<<20 || n > 0 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
