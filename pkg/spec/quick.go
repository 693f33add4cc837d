package spec

import "strings"

// quickNodes reads a document that is plain: block mappings and lists, with scalars, quoted strings and one-line [] and {} in them, all in printable ASCII and without
// escapes, anchors and tags. That is what nearly all manifests are. It says whether text is that; for anything else, and for anything wrong, there is the YAML
// library, of which this is a shortcut: it reads 500 manifests in 2 ms instead of 15, and makes a tenth of the garbage. A fuzz test compares the two.
func quickNodes(text string, skew int) (*node, bool) {
	for i := range len(text) {
		if c := text[i]; c != '\n' && (c < ' ' || c > '~') {
			return nil, false
		}
	}
	q := quick{text: text, line: skew, end: -1}
	q.nextLine()
	if q.more && q.indent == 0 && q.rest() == "---" {
		q.nextLine()
	}
	if !q.more {
		return nil, false
	}
	root := q.block(0)
	return root, !q.failed && !q.more
}

const (
	maxQuickDepth = 50
	maxQuickKey   = 500 // YAML has keys of at most 1024 characters
)

// quick reads one document, line by line. It stands in a line that has content, or behind the last.
type quick struct {
	nodes
	text   string
	line   int
	start  int // where the line begins
	at     int // what is read next
	end    int // where the line ends
	indent int // of the line, or of what stands behind the "- " of a list's item
	more   bool
	failed bool // this isn't plain, or it is wrong
}

// fail gives up: there is nothing more to read then, so that whoever is reading ends.
func (q *quick) fail() *node {
	q.failed, q.more, q.at = true, false, q.end
	return nil
}

// nextLine goes to the next line that is neither empty nor a comment.
func (q *quick) nextLine() {
	for !q.failed {
		q.start, q.line = q.end+1, q.line+1
		if q.start >= len(q.text) {
			q.more = false
			return
		}
		q.end = len(q.text)
		if i := strings.IndexByte(q.text[q.start:], '\n'); i >= 0 {
			q.end = q.start + i
		}
		q.at = q.start
		q.skipSpaces()
		if q.at < q.end && q.text[q.at] != '#' {
			q.indent, q.more = q.at-q.start, true
			return
		}
	}
}

func (q *quick) skipSpaces() {
	for q.at < q.end && q.text[q.at] == ' ' {
		q.at++
	}
}

func (q *quick) rest() string { return strings.TrimRight(q.text[q.at:q.end], " ") }

func (q *quick) column() int { return q.at - q.start + 1 }

// atEnd says whether nothing but a comment is left of the line.
func (q *quick) atEnd() bool {
	from := q.at
	q.skipSpaces()
	return q.at == q.end || q.text[q.at] == '#' && q.at > from
}

// atItem says whether a list's "-" is next.
func (q *quick) atItem() bool {
	return q.text[q.at] == '-' && (q.at+1 == q.end || q.text[q.at+1] == ' ')
}

// block reads the mapping or list whose first line this is.
func (q *quick) block(depth int) *node {
	if depth == maxQuickDepth || q.indent == 0 && (strings.HasPrefix(q.rest(), "---") || strings.HasPrefix(q.rest(), "...")) {
		return q.fail()
	}
	if q.atItem() {
		return q.list(q.indent, depth)
	}
	return q.mapping(q.indent, depth)
}

// mapping reads the keys of one indentation.
func (q *quick) mapping(indent, depth int) *node {
	n := q.make(mapNode, q.line, q.column())
	end := &n.first
	for q.more && q.indent == indent && !q.atItem() {
		key := q.key()
		if key == nil {
			return q.fail()
		}
		key.next = q.value(indent, depth, true)
		if q.failed {
			return nil
		}
		*end, end = key, &key.next.next
	}
	if q.more && q.indent >= indent {
		return q.fail()
	}
	return n
}

// list reads the items of one indentation.
func (q *quick) list(indent, depth int) *node {
	n := q.make(listNode, q.line, q.column())
	end := &n.first
	for q.more && q.indent == indent && q.atItem() {
		q.at++
		item := q.item(indent, depth)
		if q.failed {
			return nil
		}
		*end, end = item, &item.next
	}
	if q.more && q.indent > indent {
		return q.fail()
	}
	return n
}

// item reads what stands behind the "-" of a list.
func (q *quick) item(indent, depth int) *node {
	behind := q.at
	q.skipSpaces()
	from := q.at
	if key := q.key(); key == nil {
		q.at = behind
		return q.value(indent, depth, false)
	}
	q.at = from
	q.indent = q.at - q.start
	return q.mapping(q.indent, depth+1)
}

// key reads NAME: and returns nil where something else is next.
func (q *quick) key() *node {
	from := q.at
	for q.at < q.end && (isAlphanumeric(q.text[q.at]) || strings.IndexByte("_-./", q.text[q.at]) >= 0) {
		q.at++
	}
	name := q.text[from:q.at]
	if len(name) > maxQuickKey || q.at == q.end || q.text[q.at] != ':' || q.at+1 < q.end && q.text[q.at+1] != ' ' {
		return nil
	}
	q.at++
	n := q.make(scalarNode, q.line, from-q.start+1)
	return q.plain(n, name)
}

// value reads what belongs to a key or an item: the rest of its line, or the lines below that are indented more. The items of a key's list need not be.
func (q *quick) value(indent, depth int, ofKey bool) *node {
	line, column := q.line, q.column()
	if !q.atEnd() {
		n := q.inline(depth)
		if q.failed || !q.atEnd() {
			return q.fail()
		}
		q.nextLine()
		if q.more && q.indent > indent {
			return q.fail() // a scalar of several lines
		}
		return n
	}
	q.nextLine()
	switch {
	case q.more && q.indent > indent:
		return q.block(depth + 1)
	case q.more && q.indent == indent && ofKey && q.atItem():
		return q.list(indent, depth+1)
	}
	n := q.make(scalarNode, line, column)
	n.tag = nullTag
	return n
}

// inline reads a value within a line.
func (q *quick) inline(depth int) *node {
	n := q.make(scalarNode, q.line, q.column())
	switch c := q.text[q.at]; c {
	case '"', '\'':
		return q.quotedString(n, c)
	case '[', '{':
		return q.flow(n, c, depth+1)
	}
	text := q.text[q.at:q.end]
	if i := strings.Index(text, " #"); i >= 0 {
		text = text[:i]
	}
	q.at += len(text)
	text = strings.TrimRight(text, " ")
	if strings.Contains(text, ": ") || text[len(text)-1] == ':' {
		return q.fail()
	}
	return q.plain(n, text)
}

// quotedString reads a string that ends in the line and has no escapes.
func (q *quick) quotedString(n *node, quote byte) *node {
	from := q.at + 1
	length := strings.IndexByte(q.text[from:q.end], quote)
	if length < 0 {
		return q.fail()
	}
	n.value, n.quoted = q.text[from:from+length], true
	q.at = from + length + 1
	if q.at < q.end && q.text[q.at] == quote || quote == '"' && strings.IndexByte(n.value, '\\') >= 0 {
		return q.fail()
	}
	return n
}

// flow reads [] or {} of one line.
func (q *quick) flow(n *node, open byte, depth int) *node {
	n.kind = mapNode
	if open == '[' {
		n.kind = listNode
	}
	closing := open + 2 // in ASCII
	end := &n.first
	q.at++
	for q.skipSpaces(); q.at < q.end && q.text[q.at] != closing; q.skipSpaces() {
		if n.first != nil && !q.comma() || depth > maxQuickDepth {
			return q.fail()
		}
		if n.kind == mapNode {
			if *end = q.key(); *end == nil {
				return q.fail()
			}
			end = &(*end).next
			q.skipSpaces()
		}
		if *end = q.flowValue(depth); *end == nil {
			return q.fail()
		}
		end = &(*end).next
	}
	if q.at == q.end {
		return q.fail()
	}
	q.at++
	return n
}

// comma reads the comma between two values, which one more must follow.
func (q *quick) comma() bool {
	if q.text[q.at] != ',' {
		return false
	}
	q.at++
	q.skipSpaces()
	return q.at < q.end && strings.IndexByte(",]}", q.text[q.at]) < 0
}

// flowValue reads one value within [] or {}.
func (q *quick) flowValue(depth int) *node {
	if q.at == q.end {
		return q.fail()
	}
	if strings.IndexByte("\"'[{", q.text[q.at]) >= 0 {
		return q.inline(depth)
	}
	from := q.at
	for q.at < q.end && strings.IndexByte(",[]{}", q.text[q.at]) < 0 {
		q.at++
	}
	text := strings.TrimRight(q.text[from:q.at], " ")
	if text == "" || strings.ContainsAny(text, ":#\"'?&*!|>") {
		return q.fail()
	}
	return q.plain(q.make(scalarNode, q.line, from-q.start+1), text)
}

// plain sets a scalar without quotes, where it is certain what YAML takes it for.
func (q *quick) plain(n *node, text string) *node {
	n.value = text
	switch c := text[:min(1, len(text))]; {
	case text == "true" || text == "false":
		n.tag = boolTag
	case text == "null":
		n.tag = nullTag
	case isDigits(text) && isDecimal(text) && len(text) < 18:
		n.tag = intTag
	case c == "" || strings.Contains(",[]{}#&*!|>'\"%@`?:<~=", c) || looksLikeMore(text):
		return q.fail()
	}
	return n
}

// looksLikeMore says whether a word may be a number, a date, a truth value or nothing to YAML.
func looksLikeMore(text string) bool {
	switch strings.ToLower(text) {
	case "true", "false", "null":
		return true
	}
	switch c := text[0]; {
	case c == '.':
		return len(text) == 1 || text[1] != '/' && text[1] != '.'
	case c == '-' || c == '+':
		return len(text) == 1 || strings.IndexByte("0123456789._ ", text[1]) >= 0
	case !isDigits(text[:1]):
		return false
	}
	return strings.Trim(text, "0123456789abcdefABCDEFxXoO_.:+-tTzZ ") == ""
}
