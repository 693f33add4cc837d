package main

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// table writes rows in columns three spaces apart. It remembers the widths it has used, so rows that follow later in a watch stay in their columns.
// Cells are cleaned, and cut where they are very long; the last column of a row is not padded.
type table struct {
	out    io.Writer
	header []string // printed before the first rows, nil for none
	widths []int
	rows   [][]string
}

// longestCell is how much of a cell is shown; programs read all of it as JSON.
const longestCell = 1000

func (t *table) add(cells ...string) {
	for i, c := range cells {
		cells[i] = clip(clean(c), longestCell)
		if c == "" {
			cells[i] = "-"
		}
	}
	t.rows = append(t.rows, cells)
}

// flush writes the rows added since the last flush, all of them in one write.
func (t *table) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	if t.header != nil {
		t.rows = append([][]string{t.header}, t.rows...)
		t.header = nil
	}
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
		}
	}
	var b bytes.Buffer
	for _, row := range t.rows {
		for i, c := range row {
			b.WriteString(c)
			if i < len(row)-1 {
				b.Write(bytes.Repeat([]byte{' '}, t.widths[i]-utf8.RuneCountInString(c)+3))
			}
		}
		b.WriteByte('\n')
	}
	t.rows = nil
	_, err := t.out.Write(b.Bytes())
	return err
}
