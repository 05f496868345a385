package config

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines says where each key stands, in one file's document or in all of them.
type lines struct {
	file  string           // of one document
	at    map[string]place // by the dotted name in lower case, for faults that are found after decoding
	parts []part           // in their order
	end   int              // how far the document has the syntax of TOML, in bytes
	table []string         // the one that is open there
}

type place struct {
	file  string
	line  int
	key   []string
	value bool // it has a value, which is no table
}

// part is a key with its value, or a table from its header to the next one: bytes from to before to.
type part struct {
	key      []string
	from, to int
	table    bool
}

// lineIndex reads a file's document. What it cannot read it leaves out: a fault then
// lacks its line, no more.
func lineIndex(file string, data []byte) *lines {
	var p unstable.Parser
	p.Reset(data)
	ix := &lines{file: file, at: map[string]place{}}
	counts := arrays{}
	open := -1 // the table in parts
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			key, last := ix.add(&p, nil, e)
			ix.table = counts.number(key, e.Kind == unstable.ArrayTable)
			ix.note(ix.table, last.Start.Line)
			from := bytes.LastIndexByte(data[:last.Start.Offset], '\n') + 1
			if open >= 0 {
				ix.parts[open].to = from
			}
			open = len(ix.parts)
			ix.parts = append(ix.parts, part{ix.table, from, len(data), true})
			ix.end = last.End.Offset
		case unstable.KeyValue:
			ix.addValue(&p, ix.table, e)
			ix.end = int(e.Raw.Offset + e.Raw.Length)
		}
	}
	if p.Error() == nil {
		ix.end = len(data)
	} else if i := bytes.IndexByte(data[ix.end:], '\n'); i >= 0 && ix.end > 0 {
		ix.end += i + 1
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
func (ix *lines) note(key []string, line int) {
	name := strings.ToLower(join(key))
	if _, ok := ix.at[name]; !ok {
		ix.at[name] = place{file: ix.file, line: line, key: slices.Clone(key)}
	}
}

// add notes the line of an expression's key. It returns the key in full, and where its last word is.
func (ix *lines) add(p *unstable.Parser, parent []string, e *unstable.Node) (key []string, last unstable.Shape) {
	key = slices.Clone(parent)
	for it := e.Key(); it.Next(); {
		key = append(key, string(it.Node().Data))
		last = p.Shape(it.Node().Raw)
		ix.note(key, last.Start.Line)
	}
	return key, last
}

func (ix *lines) addValue(p *unstable.Parser, parent []string, e *unstable.Node) {
	key, _ := ix.add(p, parent, e)
	from := int(e.Raw.Offset)
	ix.parts = append(ix.parts, part{key, from, from + int(e.Raw.Length), false})
	if e.Value().Kind != unstable.InlineTable {
		name := strings.ToLower(join(key))
		at := ix.at[name]
		at.value = true
		ix.at[name] = at
		return
	}
	for it := e.Value().Children(); it.Next(); {
		if it.Node().Kind == unstable.KeyValue {
			ix.addValue(p, key, it.Node())
		}
	}
}

// part is the innermost one around a byte; nil if there is none.
func (ix *lines) part(offset int) *part {
	for i := len(ix.parts) - 1; i >= 0; i-- {
		if p := &ix.parts[i]; p.from <= offset && offset < p.to {
			return p
		}
	}
	return nil
}

// of is the place of a key, or of the nearest table around it, if there is one.
func (ix *lines) of(key string) place {
	for key = strings.ToLower(key); key != ""; {
		if p, ok := ix.at[key]; ok {
			return p
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			break
		}
		key = key[:i]
	}
	return place{}
}

// full is the whole of a key of which only the end is known: within an inline
// table the decoder names a key without what is around it.
func (ix *lines) full(end []string, line int) []string {
	for _, p := range ix.at {
		if p.line == line && len(p.key) > len(end) && slices.Equal(p.key[len(p.key)-len(end):], end) {
			return p.key
		}
	}
	return end
}
