package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// document is the shape of the file. It differs from Config in durations alone, which the file
// writes as text with a unit: decoded straight into a time.Duration a bare 30 would be 30
// nanoseconds. The outer field of two with one key is the one that is decoded.
type document struct {
	Config
	Certificates documentCertificates `toml:"certificates"`
	Limits       documentLimits       `toml:"limits"`
	Tunnels      []documentTunnel     `toml:"tunnel"`
}

type documentCertificates struct {
	Certificates
	Reload durationText `toml:"reload"`
}

type documentLimits struct {
	Limits
	HandshakeTimeout durationText `toml:"handshake_timeout"`
	IdleTimeout      durationText `toml:"idle_timeout"`
	SessionTimeout   durationText `toml:"session_timeout"`
	PrepareTimeout   durationText `toml:"prepare_timeout"`
	FinishTimeout    durationText `toml:"finish_timeout"`
	GiveUpTimeout    durationText `toml:"give_up_timeout"`
	DrainTimeout     durationText `toml:"drain_timeout"`
	ProbeTime        durationText `toml:"probe_time"`
}

type documentTunnel struct {
	Tunnel
	Certificates     documentCertificates `toml:"certificates"`
	HandshakeTimeout durationText         `toml:"handshake_timeout"`
	IdleTimeout      durationText         `toml:"idle_timeout"`
}

// durationText is a duration not yet parsed; empty when the file has none.
type durationText string

// maxFaults bounds how many faults one reading of a file tells of those that it takes a decoding
// each to find.
const maxFaults = 50

// decode adds what a file holds to doc. What cannot be decoded is told and taken out, so that the
// rest is read all the same: wrong lists the keys, of which no more can be said. After a fault of
// syntax nothing is read, and it is not usable if that is above all tables, since what stands there
// holds for them.
func (doc *document) decode(file string, data []byte, ix *lines) (usable bool, faults []error, wrong [][]string) {
	data = slices.Clone(data)
	others := doc.Tunnels // of the files before
	defer func() { doc.Tunnels = append(others, doc.Tunnels...) }()
	for len(faults) < maxFaults {
		doc.Tunnels = nil
		dec := toml.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		err := dec.Decode(doc)

		var unknown *toml.StrictMissingError
		var bad *toml.DecodeError
		switch {
		case err == nil:
			return true, faults, wrong
		case errors.As(err, &unknown):
			for _, e := range unknown.Errors {
				line, _ := e.Position()
				key := ix.full(e.Key(), line)
				faults = append(faults, &Fault{File: file, Line: line, Key: join(key), Reason: unknownKey(key)})
			}
			return true, faults, wrong
		case !errors.As(err, &bad):
			return false, append(faults, &Fault{File: file, Reason: err.Error()}), nil
		}
		line, column := bad.Position()
		f := &Fault{File: file, Line: line, Column: column}
		faults = append(faults, f)
		at := offset(data, line, column)
		if at >= ix.end {
			f.Reason = badValue(bad, bad.Key()) + "; the file was read no further"
			if ix.table == nil {
				return false, faults, nil
			}
			data, wrong = data[:ix.end], append(wrong, ix.table)
			continue
		}
		part := ix.part(at)
		if part == nil {
			return false, faults, nil
		}
		key := part.key
		if part.table {
			key = bad.Key()
		}
		f.Key, f.Reason = join(key), badValue(bad, key)
		wrong = append(wrong, part.key)
		blank(data, part)
	}
	return false, append(faults, &Fault{File: file, Reason: fmt.Sprintf("these are the first %d faults; mend them to see the others", maxFaults)}), nil
}

// offset is that of a line and a column, both from 1.
func offset(data []byte, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		at += bytes.IndexByte(data[at:], '\n') + 1
	}
	return at + column - 1
}

// blank takes a part out of a document, whose other parts stay where they are.
func blank(data []byte, p *part) {
	to := p.to
	if rest := bytes.TrimLeft(data[to:], " \t\r\n"); len(rest) > 0 && rest[0] == ',' {
		to = len(data) - len(rest) + 1 // within an inline table
	}
	for i := p.from; i < to; i++ {
		if data[i] != '\n' {
			data[i] = ' '
		}
	}
}

func join(key []string) string { return strings.Join(key, ".") }

// unknownKey says what may stand where key stands.
func unknownKey(key []string) string {
	table, parent := reflect.TypeFor[document](), ""
	for _, part := range key[:len(key)-1] {
		next, ok := member(table, part)
		if !ok {
			break
		}
		table, parent = next, strings.TrimPrefix(parent+"."+part, ".")
	}
	where := "at the top of the file"
	if parent != "" {
		where = "in [" + parent + "]"
	}
	return fmt.Sprintf("unknown key; allowed %s: %s (top-level keys go before the first [table])", where, strings.Join(members(table), ", "))
}

// badValue puts a parser's message into words about TOML instead of Go types.
func badValue(e *toml.DecodeError, key []string) string {
	msg := strings.TrimPrefix(e.Error(), "toml: ")
	if !strings.HasPrefix(msg, "cannot decode TOML ") && !strings.HasPrefix(msg, "cannot store") {
		return msg
	}
	t := reflect.TypeFor[document]()
	for _, part := range key {
		next, ok := member(t, part)
		if !ok {
			return msg
		}
		t = next
	}
	return "wrong type: write " + wanted(t)
}

func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[durationText]() {
		return `a duration in quotes with its unit, such as "30s" or "10m"`
	}
	switch t.Kind() {
	case reflect.String:
		return "text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "a [[table]] of keys"
		}
		return `a list of texts in quotes, such as ["a", "b"]`
	case reflect.Int, reflect.Int64:
		return "a whole number without quotes"
	case reflect.Map, reflect.Struct:
		return "a [table] of keys"
	}
	return "a " + t.String()
}

// member is the type under a key of t, pointers followed. Keys are found as
// the parser finds them: whatever their case, outer fields first.
func member(t reflect.Type, key string) (reflect.Type, bool) {
	if t.Kind() == reflect.Slice {
		t = t.Elem() // of an array of tables, whose number a key may have
		if _, err := strconv.Atoi(key); err == nil {
			return t, true
		}
	}
	switch t.Kind() {
	case reflect.Map:
		return t.Elem(), true
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			if _, inner := t.FieldByName(f.Name); inner && strings.EqualFold(f.Tag.Get("toml"), key) {
				f, _ = t.FieldByName(f.Name) // the outermost of that name
				if f.Type.Kind() == reflect.Pointer {
					return f.Type.Elem(), true
				}
				return f.Type, true
			}
		}
	}
	return nil, false
}

// members are the keys of t, sorted.
func members(t reflect.Type) []string {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	seen := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if key := f.Tag.Get("toml"); key != "" && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys
}
