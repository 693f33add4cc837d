package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sort"
	"strings"
)

// jsonNodes reads data as one or several JSON objects, and says whether it is that. YAML readers take most JSON, but not all of
// it: "\ud83d\ude00" is no YAML.
func jsonNodes(data []byte, skew int) ([]*node, bool) {
	rest, marked := bytes.CutPrefix(data, []byte("---"))
	if rest = bytes.TrimLeft(rest, " \t\r\n"); len(rest) == 0 || rest[0] != '{' {
		return nil, false
	}
	if marked {
		data = append([]byte("   "), data[3:]...)
	}
	j := jsonReader{data: data, skew: skew, tokens: json.NewDecoder(bytes.NewReader(data))}
	j.tokens.UseNumber()
	for i, b := range data {
		if b == '\n' {
			j.lines = append(j.lines, i)
		}
	}
	var nodes []*node
	for {
		n, err := j.next(0)
		if errors.Is(err, io.EOF) {
			return nodes, true
		}
		if err != nil {
			return nil, false
		}
		nodes = append(nodes, n)
	}
}

const maxJSONDepth = 1000

type jsonReader struct {
	nodes
	skew   int
	data   []byte
	lines  []int // where the newlines are
	tokens *json.Decoder
}

func (j *jsonReader) next(depth int) (*node, error) {
	from := int(j.tokens.InputOffset())
	t, err := j.tokens.Token()
	if err != nil {
		return nil, err
	}
	n := j.make(scalarNode, 0, 0)
	j.place(n, from)
	switch t := t.(type) {
	case json.Delim:
		if t == '}' || t == ']' || depth == maxJSONDepth {
			return nil, io.ErrUnexpectedEOF
		}
		n.kind = mapNode
		if t == '[' {
			n.kind = listNode
		}
		end := &n.first
		for j.tokens.More() {
			c, err := j.next(depth + 1)
			if err != nil {
				return nil, notEOF(err)
			}
			*end, end = c, &c.next
		}
		_, err = j.tokens.Token()
		return n, notEOF(err)
	case string:
		n.value, n.quoted = t, true
	case json.Number:
		n.value, n.tag = t.String(), intTag
		if strings.ContainsAny(n.value, ".eE") {
			n.tag = floatTag
		}
	case bool:
		n.value, n.tag = "false", boolTag
		if t {
			n.value = "true"
		}
	case nil:
		n.value, n.tag = "null", nullTag
	}
	return n, nil
}

// place sets the position of the token that begins at or after an offset.
func (j *jsonReader) place(n *node, from int) {
	for from < len(j.data) && strings.IndexByte(" \t\r\n,:", j.data[from]) >= 0 {
		from++
	}
	before := sort.SearchInts(j.lines, from)
	n.line, n.column = int32(j.skew+before+1), int32(from+1)
	if before > 0 {
		n.column = int32(from - j.lines[before-1])
	}
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
