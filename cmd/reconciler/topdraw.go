package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/pkg/spec"
)

// column is one of top's.
type column struct {
	title string
	width int // negative: to the left
	least int // the width of the screen from which on it is shown
	by    string
	cell  func(topRow) string
}

// columns are all of them, the important ones first to stay on a narrow screen.
func columns() []column {
	rate := func(of func(spec.Rate) *float64, write func(float64) string) func(topRow) string {
		return func(r topRow) string {
			if r.Rates == nil {
				return unknown
			}
			return figure.Known(of(*r.Rates), write)
		}
	}
	return []column{
		{"CPU%", 6, 0, "cpu", rate(func(r spec.Rate) *float64 { return r.CPU }, figure.Percent)},
		{"", -8, 92, "", cpuBar},
		{"HISTORY", -historyLength, 112, "", func(r topRow) string { return history(r.history, cpuScale(r), historyLength) }},
		{"THR%", 5, 84, "throttled", func(r topRow) string {
			if r.Rates == nil {
				return unknown
			}
			return figure.Known(throttling(r.measured, *r.Rates), figure.Percent)
		}},
		{"MEM", 6, 0, "memory", func(r topRow) string { return figure.Known(r.Memory.Current, figure.Amount[int64]) }},
		{"", -8, 102, "", memoryBar},
		{"READ/s", 7, 70, "read", rate(func(r spec.Rate) *float64 { return r.ReadBytes }, figure.Amount[float64])},
		{"WRITE/s", 7, 70, "write", rate(func(r spec.Rate) *float64 { return r.WriteBytes }, figure.Amount[float64])},
		{"TASKS", 5, 60, "tasks", func(r topRow) string { return figure.Known(r.Tasks, figure.Integer) }},
		{"FILES", 5, 124, "files", func(r topRow) string { return figure.Known(r.OpenFiles, figure.Integer) }},
		{"PSI", 11, 140, "", func(r topRow) string { return stallCell(r.measured) }},
		{"GPU", 10, 156, "", func(r topRow) string { return gpuCell(r.measured) }},
		{"TIME+", 9, 76, "time", func(r topRow) string { return figure.Known(r.CPU.Usage, cpuTime) }},
	}
}

// cpuScale is what a full bar of CPU means: the limit, or one core.
func cpuScale(r topRow) float64 {
	if l := r.CPU.Limit; l != nil && *l != spec.Unbounded && *l > 0 {
		return float64(*l) / 1000
	}
	return 1
}

func cpuBar(r topRow) string {
	if r.Rates == nil || r.Rates.CPU == nil || r.CPU.Limit == nil {
		return ""
	}
	return bar(*r.Rates.CPU/cpuScale(r), 8)
}

// memoryBar is empty where there is no limit to fill.
func memoryBar(r topRow) string {
	l := r.Memory.Limit
	if r.Memory.Current == nil || l == nil || *l == spec.Unbounded || *l <= 0 {
		return ""
	}
	return bar(float64(*r.Memory.Current)/float64(*l), 8)
}

// stallCell is the pressure of CPU, memory and IO, in whole percents.
func stallCell(r measured) string {
	one := func(s *spec.Stalls) string {
		if s == nil || s.Some == nil {
			return unknown
		}
		return fmt.Sprintf("%.0f", s.Some.Avg10)
	}
	return one(r.Pressure.CPU) + "/" + one(r.Pressure.Memory) + "/" + one(r.Pressure.IO)
}

// gpuCell is the GPUs' memory together and the busiest one's utilisation.
func gpuCell(r measured) string {
	if r.GPUs == nil {
		return unknown
	}
	if len(r.GPUs) == 0 {
		return "-"
	}
	var memory *int64
	var busy *float64
	for i, g := range r.GPUs {
		add(i == 0, &memory, g.Memory)
		if g.Utilisation != nil && (busy == nil || *g.Utilisation > *busy) {
			busy = g.Utilisation
		}
	}
	return figure.Known(memory, figure.Amount[int64]) + " " + figure.Known(busy, func(u float64) string { return fmt.Sprintf("%.0f%%", u) })
}

// The parts of a line that are shown otherwise: see ECMA-48, SGR.
const (
	styleHeader = "\x1b[7m"
	styleChosen = "\x1b[1;7m"
	styleWarn   = "\x1b[31m"
	styleEnd    = "\x1b[0m"
)

// draw makes the lines of a screen of that size, none longer than it is wide.
func (v *topView) draw(width, height int, colour bool) []string {
	if v.help {
		return fit(strings.Split("top\n\n"+folded(topKeysHelp, width)+"\n\nany key goes back", "\n"), width, height)
	}
	style := func(s, line string) string {
		if !colour {
			return line
		}
		return s + line + styleEnd
	}
	rows := v.rows()
	lines := []string{clip(v.summary(), width)}
	for _, host := range v.hosts {
		if err := v.of[host].err; err != nil && len(lines) < height/3 {
			lines = append(lines, style(styleWarn, clip(clean(host)+": "+clean(firstLine(err.Error())), width)))
		}
	}
	v.page = max(1, height-len(lines)-2)
	v.selected = min(max(v.selected, 0), max(0, len(rows)-1))
	v.first = min(max(v.first, v.selected-v.page+1), v.selected)
	names := widths(rows, v, width)
	lines = append(lines, style(styleHeader, pad(v.header(names, width), width)))
	for i := v.first; i < min(len(rows), v.first+v.page); i++ {
		line := v.line(rows[i], names, width)
		if i == v.selected {
			line = style(styleChosen, pad(line, width))
		}
		lines = append(lines, line)
	}
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	return append(lines, clip(v.foot(len(rows)), width))
}

// widths are those of the columns of hosts and names; that of hosts is 0 where there is only one.
func widths(rows []topRow, v *topView, width int) (w [2]int) {
	for _, r := range rows {
		if len(v.hosts) > 1 {
			w[0] = max(w[0], utf8.RuneCountInString(clean(r.Host)))
		}
		w[1] = max(w[1], utf8.RuneCountInString(clean(r.Name)))
	}
	w[0], w[1] = min(w[0], width/6), min(max(w[1], 8), width/4)
	return w
}

func (v *topView) header(names [2]int, width int) string {
	mark := func(title, by string) string {
		if by != "" && by == v.sortBy {
			return title + "▾"
		}
		return title
	}
	return v.join(names, width, mark("HOST", "host"), mark("NAME", "name"), func(c column) string { return mark(c.title, c.by) })
}

func (v *topView) line(r topRow, names [2]int, width int) string {
	return v.join(names, width, clean(r.Host), clean(r.Name), func(c column) string {
		switch {
		case r.State == spec.Running:
			return c.cell(r)
		case c.title == "":
			return ""
		case r.State == spec.Unknown:
			return unknown
		}
		return "-"
	})
}

func (v *topView) join(names [2]int, width int, host, name string, cell func(column) string) string {
	var b strings.Builder
	if len(v.hosts) > 1 {
		b.WriteString(pad(clip(host, names[0]), names[0]) + " ")
	}
	b.WriteString(pad(clip(name, names[1]), names[1]))
	for _, c := range columns() {
		if width < c.least {
			continue
		}
		text, w := cell(c), max(c.width, -c.width)
		text = clip(text, w)
		if c.width > 0 {
			text = strings.Repeat(" ", w-utf8.RuneCountInString(text)) + text
		}
		b.WriteString(" " + pad(text, w))
	}
	return clip(b.String(), width)
}

// foot is the last line.
func (v *topView) foot(rows int) string {
	switch {
	case v.typing:
		return "filter: " + clean(v.filter) + "_"
	case v.filter != "":
		return fmt.Sprintf("%s match %q   F4 filter  F1 help  q quit", plural(rows, "daemon"), v.filter)
	}
	return "F1 help  F4 filter  F6 sort  P cpu  M memory  T time  I invert  H hosts  q quit"
}

// folded is text in lines of that width, broken between words.
func folded(text string, width int) string {
	var b strings.Builder
	at := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case at == 0:
		case at+1+n > width:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// clip cuts a line that is longer than width.
func clip(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	r := []rune(s)
	if width < 2 {
		return string(r[:max(width, 0)])
	}
	return string(r[:width-1]) + "…"
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// fit cuts lines to a screen.
func fit(lines []string, width, height int) []string {
	lines = lines[:min(len(lines), height)]
	for i := range lines {
		lines[i] = clip(lines[i], width)
	}
	return lines
}
