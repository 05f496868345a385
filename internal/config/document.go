package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
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
}

type documentTunnel struct {
	Tunnel
	Certificates     documentCertificates `toml:"certificates"`
	HandshakeTimeout durationText         `toml:"handshake_timeout"`
	IdleTimeout      durationText         `toml:"idle_timeout"`
}

// durationText is a duration not yet parsed; empty when the file has none.
type durationText string

// decode reads data into a document. A value of the wrong type or a fault of syntax ends it, since
// nothing after that can be trusted; unknown keys do not, and are returned beside the document.
func decode(file string, data []byte, ix lines) (*document, []error, error) {
	doc := new(document)
	dec := toml.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(doc)

	var unknown *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case err == nil:
		return doc, nil, nil
	case errors.As(err, &unknown):
		var faults []error
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			key := ix.full(e.Key(), line)
			faults = append(faults, &Fault{File: file, Line: line, Key: join(key), Reason: unknownKey(key)})
		}
		return doc, faults, nil
	case errors.As(err, &bad):
		line, column := bad.Position()
		return nil, nil, &Fault{File: file, Line: line, Column: column, Key: join(bad.Key()), Reason: badValue(bad)}
	default:
		return nil, nil, &Fault{File: file, Reason: err.Error()}
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
func badValue(e *toml.DecodeError) string {
	msg := strings.TrimPrefix(e.Error(), "toml: ")
	if !strings.HasPrefix(msg, "cannot decode TOML ") && !strings.HasPrefix(msg, "cannot store") {
		return msg
	}
	t := reflect.TypeFor[document]()
	for _, part := range e.Key() {
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
