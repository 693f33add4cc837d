package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
)

// format is the value of get's -o: a word, or go-template=TEMPLATE.
type format struct {
	enum
	tmpl *template.Template
}

const goTemplate = "go-template="

func formatFlag(cmd *cobra.Command) *format {
	f := &format{enum: enum{words: []string{"wide", "json", "yaml", "name", goTemplate + "TEMPLATE"}}}
	cmd.Flags().VarP(f, "output", "o", "output format: "+strings.Join(f.words, "|"))
	complete(cmd, "output", []string{"wide", "json", "yaml", "name", goTemplate})
	return f
}

func (f *format) Set(s string) error {
	text, ok := strings.CutPrefix(s, goTemplate)
	if !ok {
		if s == f.words[len(f.words)-1] {
			s = ""
		}
		return f.enum.Set(s)
	}
	// missingkey=zero prints "<no value>" for what isn't there, as kubectl does.
	t, err := template.New("go-template").Option("missingkey=zero").Parse(text)
	if err != nil {
		return fmt.Errorf("the template doesn't parse: %w", err)
	}
	f.tmpl, f.value = t, goTemplate
	return nil
}

// print writes the list of objects in a format for programs.
func (f *format) print(c *cli, objs []object) error {
	if f.value != goTemplate {
		return c.encode(f.value, listOf(objs))
	}
	return f.execute(c, listOf(objs))
}

// execute writes what the template makes of v.
func (f *format) execute(c *cli, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write go-template: %w", err)
	}
	var data any
	if err := json.Unmarshal(b, &data); err != nil {
		return fmt.Errorf("write go-template: %w", err)
	}
	var out bytes.Buffer
	if err := f.tmpl.Execute(&out, data); err != nil {
		return fmt.Errorf("write go-template: %w; the data is what -o json prints", err)
	}
	_, err = c.out.Write([]byte(cleanLines(out.String())))
	return err
}
