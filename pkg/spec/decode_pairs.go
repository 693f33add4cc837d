package spec

import "go.yaml.in/yaml/v3"

// eachPair calls do with every key and value of a mapping once: those written in it, then those that << merges into it.
func (d *decoder) eachPair(s *shape, n *yaml.Node, do func(key, value *yaml.Node)) {
	p := pairing{decoder: d, shape: s, seen: map[string]int{}, do: do}
	p.pairs(n, false)
}

// pairing is one pass over the pairs of a mapping.
type pairing struct {
	*decoder
	shape *shape
	seen  map[string]int // the lines of the keys that were visited
	do    func(key, value *yaml.Node)
}

// pairs visits n, which is merged into the mapping or is that mapping itself.
func (d *pairing) pairs(n *yaml.Node, merged bool) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if isMerge(key) {
			continue
		}
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if merged && d.overspent() {
			return
		}
		if !d.isField(key) && !d.keyIsText(key) {
			continue
		}
		if line, dup := d.seen[key.Value]; !dup {
			d.seen[key.Value] = key.Line + d.skew
			d.do(key, value)
		} else if !merged {
			d.problemAt(key, string(d.shape.join(d.path, key.Value)), "written twice, first in line %d", line)
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			d.merge(n.Content[i+1])
		}
	}
}

// merge visits what << names: a mapping, an alias of one, or a list of those.
func (d *pairing) merge(n *yaml.Node) {
	if d.overspent() || !d.enter(n) {
		return
	}
	defer d.leave()
	target := n
	if n.Kind == yaml.AliasNode {
		target = n.Alias
	}
	switch {
	case target.Kind == yaml.MappingNode:
		d.pairs(target, true)
	case n.Kind == yaml.SequenceNode:
		for _, one := range n.Content {
			d.merge(one)
		}
	default:
		d.problem(n, "<< merges mappings, and this is %s", found(target))
	}
}

// isField says whether a key is the name of a field as it stands, though other readers of YAML take that word for something else: build.on is one, which YAML 1.1
// takes for true.
func (d *pairing) isField(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Tag == "!!str" && d.shape.field(key.Value) != nil
}

func (d *decoder) keyIsText(key *yaml.Node) bool {
	if key.Kind != yaml.ScalarNode {
		d.problem(key, "a name must be a string, and this is %s", found(key))
		return false
	}
	if isQuoted(key) || key.Tag == "!!str" && !ambiguous(key.Value) {
		return d.plainTag(key)
	}
	d.problem(key, "a name must be a string, and this is %s: quote it, %q", foundPlain(key), key.Value)
	return false
}
