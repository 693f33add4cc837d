package spec

import (
	"go.yaml.in/yaml/v3"
)

// eachPair calls do with every key and value of a mapping once: those written in it, then those that << merges into it.
func (d *decoder) eachPair(n *yaml.Node, do func(key, value *yaml.Node)) {
	d.pairs(n, false, map[string]int{}, do)
}

// pairs visits n, which is merged into another mapping or is that mapping itself. seen are the lines of the keys that were visited.
func (d *decoder) pairs(n *yaml.Node, merged bool, seen map[string]int, do func(key, value *yaml.Node)) {
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
		if !d.keyIsText(key) {
			continue
		}
		if line, dup := seen[key.Value]; !dup {
			seen[key.Value] = key.Line + d.skew
			do(key, value)
		} else if !merged {
			d.problem(key, "%s is written twice, first in line %d", key.Value, line)
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			d.merge(n.Content[i+1], seen, do)
		}
	}
}

func (d *decoder) merge(n *yaml.Node, seen map[string]int, do func(key, value *yaml.Node)) {
	if d.overspent() || !d.enter(n) {
		return
	}
	defer d.leave()
	switch target := n; {
	case n.Kind == yaml.AliasNode && n.Alias.Kind != yaml.AliasNode:
		target = n.Alias
		if target.Kind != yaml.MappingNode {
			d.problem(n, "<< merges mappings, and this is %s", found(target))
			return
		}
		d.pairs(target, true, seen, do)
	case n.Kind == yaml.MappingNode:
		d.pairs(n, true, seen, do)
	case n.Kind == yaml.SequenceNode:
		for _, one := range n.Content {
			if one.Kind == yaml.SequenceNode {
				d.problem(one, "<< merges mappings, and this is a list")
				return
			}
			d.merge(one, seen, do)
		}
	default:
		d.problem(n, "<< merges mappings, and this is %s", found(n))
	}
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
