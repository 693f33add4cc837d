package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// jsonNodes reads data as one or several JSON objects, and says whether it is that. YAML readers take most JSON, but not all of
// it: "\ud83d\ude00" is no YAML.
func jsonNodes(data []byte) ([]*yaml.Node, bool) {
	rest, marked := bytes.CutPrefix(data, []byte("---"))
	if rest = bytes.TrimLeft(rest, " \t\r\n"); len(rest) == 0 || rest[0] != '{' {
		return nil, false
	}
	if marked {
		data = append([]byte("   "), data[3:]...)
	}
	j := jsonReader{data: data, tokens: json.NewDecoder(bytes.NewReader(data))}
	j.tokens.UseNumber()
	for i, b := range data {
		if b == '\n' {
			j.lines = append(j.lines, i)
		}
	}
	var nodes []*yaml.Node
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
	data   []byte
	lines  []int // where the newlines are
	tokens *json.Decoder
}

func (j *jsonReader) next(depth int) (*yaml.Node, error) {
	from := int(j.tokens.InputOffset())
	t, err := j.tokens.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode}
	j.place(n, from)
	switch t := t.(type) {
	case json.Delim:
		if t == '}' || t == ']' || depth == maxJSONDepth {
			return nil, io.ErrUnexpectedEOF
		}
		n.Kind = yaml.MappingNode
		if t == '[' {
			n.Kind = yaml.SequenceNode
		}
		for j.tokens.More() {
			c, err := j.next(depth + 1)
			if err != nil {
				return nil, notEOF(err)
			}
			n.Content = append(n.Content, c)
		}
		_, err = j.tokens.Token()
		return n, notEOF(err)
	case string:
		n.Value, n.Tag, n.Style = t, "!!str", yaml.DoubleQuotedStyle
	case json.Number:
		n.Value, n.Tag = t.String(), "!!int"
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Value, n.Tag = "false", "!!bool"
		if t {
			n.Value = "true"
		}
	case nil:
		n.Value, n.Tag = "null", "!!null"
	}
	return n, nil
}

// place sets the position of the token that begins at or after an offset.
func (j *jsonReader) place(n *yaml.Node, from int) {
	for from < len(j.data) && strings.IndexByte(" \t\r\n,:", j.data[from]) >= 0 {
		from++
	}
	before := sort.SearchInts(j.lines, from)
	n.Line, n.Column = before+1, from+1
	if before > 0 {
		n.Column = from - j.lines[before-1]
	}
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
