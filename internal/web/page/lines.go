package page

import (
	"regexp"
	"strings"

	"reconciler.dev/reconciler/internal/plaintext"
)

// lineRunes is how much is shown of a line.
const lineRunes = 400

// tail keeps the end of what is written to it. It isn't safe for concurrent use.
type tail struct {
	kept []byte
	cut  bool
}

// Write never fails.
func (t *tail) Write(b []byte) (int, error) {
	n := len(b)
	if n > logShown {
		b, t.cut = b[n-logShown:], true
	}
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - logShown; over > 0 {
		t.kept, t.cut = append(t.kept[:0], t.kept[over:]...), true
	}
	return n, nil
}

// colours are the escape sequences that only paint (ECMA-48, SGR). Many daemons write them, and without them a line says the same.
var colours = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// logOf shows the lines that were read, also where an error came after them.
func logOf(t *tail, err error) (l text) {
	if err != nil {
		l.Trouble = message(err.Error())
	}
	all := string(t.kept)
	if l.Cut = t.cut; t.cut {
		if _, rest, _ := strings.Cut(all, "\n"); rest != "" {
			all = rest // the first line has lost its beginning, and is all there is where it is endless
		}
	}
	for line := range strings.Lines(all) {
		l.Lines = append(l.Lines, textLine{Text: plaintext.Verbatim(colours.ReplaceAllString(strings.TrimRight(line, "\r\n"), ""), lineRunes)})
	}
	if n := len(l.Lines) - logLines; n > 0 {
		l.Lines, l.Cut = l.Lines[n:], true
	}
	return l
}

// diffOf shows a difference line by line, each in the class of its sign.
func diffOf(diff string, err error) (d text) {
	if err != nil {
		d.Trouble = message(err.Error())
		return d
	}
	if len(diff) > diffShown {
		diff, d.Cut = diff[:diffShown], true
	}
	for line := range strings.Lines(diff) {
		l := textLine{Text: plaintext.Verbatim(strings.TrimRight(line, "\r\n"), lineRunes)}
		switch {
		case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"):
			l.Class = "file"
		case strings.HasPrefix(line, "@@"):
			l.Class = "hunk"
		case strings.HasPrefix(line, "-"):
			l.Class = "old"
		case strings.HasPrefix(line, "+"):
			l.Class = "new"
		}
		d.Lines = append(d.Lines, l)
	}
	return d
}
