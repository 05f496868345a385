package config

import (
	"slices"
	"strconv"
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
	counts := arrays{}
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			var line int
			table, line = ix.add(&p, nil, e)
			table = counts.number(table, e.Kind == unstable.ArrayTable)
			ix.note(table, line)
		case unstable.KeyValue:
			ix.addValue(&p, table, e)
		}
	}
	return ix
}

// arrays counts the elements of each array of tables.
type arrays map[string]int

// number puts the number of the element that is meant behind the name of an
// array: [[tunnel]] is tunnel.0, then tunnel.1, and a [tunnel.certificates] that
// follows the latter tunnel.1.certificates. Arrays within arrays there are none.
func (a arrays) number(table []string, another bool) []string {
	name := strings.ToLower(table[0])
	if another {
		a[name]++
	}
	if n := a[name]; n > 0 {
		return slices.Insert(table, 1, strconv.Itoa(n-1))
	}
	return table
}

// note keeps the line of a key, unless it has one.
func (ix lines) note(key []string, line int) {
	name := strings.ToLower(join(key))
	if _, ok := ix[name]; !ok {
		ix[name] = place{line, slices.Clone(key)}
	}
}

// add notes the line of an expression's key and returns the key in full, and the line.
func (ix lines) add(p *unstable.Parser, parent []string, e *unstable.Node) (key []string, line int) {
	key = slices.Clone(parent)
	for it := e.Key(); it.Next(); {
		key = append(key, string(it.Node().Data))
		line = p.Shape(it.Node().Raw).Start.Line
		ix.note(key, line)
	}
	return key, line
}

func (ix lines) addValue(p *unstable.Parser, parent []string, e *unstable.Node) {
	key, _ := ix.add(p, parent, e)
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
