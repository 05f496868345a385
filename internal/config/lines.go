package config

import (
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines says on which line each key of a document stands, by its dotted name
// in lower case. It is for faults that are found after decoding.
type lines map[string]place

type place struct {
	line int
	key  []string
}

// lineIndex reads a document. What it cannot read it leaves out: a fault then
// lacks its line, no more.
func lineIndex(data []byte) lines {
	var p unstable.Parser
	p.Reset(data)
	ix := lines{}
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = ix.add(&p, nil, e)
		case unstable.KeyValue:
			ix.addValue(&p, table, e)
		}
	}
	return ix
}

// add notes the line of an expression's key and returns the key in full.
func (ix lines) add(p *unstable.Parser, parent []string, e *unstable.Node) []string {
	key := slices.Clone(parent)
	for it := e.Key(); it.Next(); {
		key = append(key, string(it.Node().Data))
		name := strings.ToLower(join(key))
		if _, ok := ix[name]; !ok {
			ix[name] = place{p.Shape(it.Node().Raw).Start.Line, slices.Clone(key)}
		}
	}
	return key
}

func (ix lines) addValue(p *unstable.Parser, parent []string, e *unstable.Node) {
	key := ix.add(p, parent, e)
	if e.Value().Kind != unstable.InlineTable {
		return
	}
	for it := e.Value().Children(); it.Next(); {
		if it.Node().Kind == unstable.KeyValue {
			ix.addValue(p, key, it.Node())
		}
	}
}

// of is the line of a key, or of the nearest table around it, or 0.
func (ix lines) of(key string) int {
	for key = strings.ToLower(key); key != ""; {
		if p, ok := ix[key]; ok {
			return p.line
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			break
		}
		key = key[:i]
	}
	return 0
}

// full is the whole of a key of which only the end is known: within an inline
// table the decoder names a key without what is around it.
func (ix lines) full(end []string, line int) []string {
	for _, p := range ix {
		if p.line == line && len(p.key) > len(end) && slices.Equal(p.key[len(p.key)-len(end):], end) {
			return p.key
		}
	}
	return end
}
