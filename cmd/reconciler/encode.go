package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"reconciler.dev/reconciler/pkg/spec"
)

// encode writes v to stdout as json or yaml.
func (c *cli) encode(format string, v any) error {
	b, err := marshal(format, v)
	if err != nil {
		return err
	}
	_, err = c.out.Write(b)
	return err
}

// marshal is v as json, indented, or as yaml, ending with a new line. It writes no byte that a terminal would act on: JSON's own escapes stand for them.
func marshal(format string, v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if format == "json" {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write %s: %w", format, err)
	}
	if format == "json" {
		return escapeJSON(b.Bytes()), nil
	}
	j := escape(b.Bytes(), wide) // JSON is YAML, but for characters that YAML doesn't take as they are
	y, err := yaml.JSONToYAML(j)
	if err == nil && bytes.ContainsFunc(y, unprintable) {
		y, err = spec.WriteYAML(j)
	}
	if err == nil {
		y = escape(y, wide)
	}
	if err != nil {
		return nil, fmt.Errorf("write yaml: %w", err)
	}
	return y, nil
}

// line is v as json on one line, and safe for a terminal as marshal's is.
func line(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write json: %w", err)
	}
	return escapeJSON(b.Bytes()), nil
}

// wide is an escape that YAML has for any character, in double quotes.
func wide(out []byte, r rune) []byte { return fmt.Appendf(out, `\U%08x`, r) }

// escapeJSON writes what isn't printable as \u escapes. encoding/json has done so for ASCII; what is left, such as C1 controls and direction overrides,
// stands in strings only.
func escapeJSON(b []byte) []byte {
	return escape(b, func(out []byte, r rune) []byte {
		if r > 0xffff {
			hi, lo := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			return fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		}
		return fmt.Appendf(out, `\u%04x`, r)
	})
}

func escape(b []byte, as func([]byte, rune) []byte) []byte {
	if !bytes.ContainsFunc(b, unprintable) {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if unprintable(r) {
			out = as(out, r)
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}

func unprintable(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
