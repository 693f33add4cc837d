package spec

// eachPair calls do with every key and value of a mapping once: those written in it, then those that << merges into it.
func (d *decoder) eachPair(s *shape, n *node, do func(key, value *node)) {
	p := pairing{decoder: d, shape: s, seen: map[string]int32{}, do: do}
	p.pairs(n, false)
}

// pairing is one pass over the pairs of a mapping.
type pairing struct {
	*decoder
	shape *shape
	seen  map[string]int32 // the lines of the keys that were visited
	do    func(key, value *node)
}

// pairs visits n, which is merged into the mapping or is that mapping itself.
func (d *pairing) pairs(n *node, merged bool) {
	for key := n.first; key != nil; key = key.next.next {
		value := key.next
		if key.isMerge() {
			continue
		}
		if merged && d.overspent() {
			return
		}
		name := key.behind()
		if !d.keyIsText(name) {
			continue
		}
		if line, dup := d.seen[name.value]; !dup {
			d.seen[name.value] = key.line
			d.do(name, value)
		} else if !merged {
			d.problemAt(key, string(d.shape.join(d.path, name.value)), "written twice, first in line %d", line)
		}
	}
	for key := n.first; key != nil; key = key.next.next {
		if key.isMerge() {
			d.merge(key.next)
		}
	}
}

// merge visits what << names: a mapping, an alias of one, or a list of those.
func (d *pairing) merge(n *node) {
	if d.overspent() || !d.enter(n) {
		return
	}
	defer d.leave()
	target := n.behind()
	switch {
	case target.kind == mapNode:
		d.pairs(target, true)
	case n.kind == listNode:
		for one := n.first; one != nil; one = one.next {
			d.merge(one)
		}
	default:
		d.problem(n, "<< merges mappings, and this is %s", found(target))
	}
}

func (d *decoder) keyIsText(key *node) bool {
	if key.kind != scalarNode {
		d.problem(key, "a name must be a string, and this is %s", found(key))
		return false
	}
	if key.quoted || key.tag == foreignTag || key.tag == strTag && !ambiguous(key.value) {
		return d.plainTag(key)
	}
	d.problem(key, "a name must be a string, and this is %s: quote it, %q", foundPlain(key), key.value)
	return false
}
