package guestpolicy

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/virt-sluice/sluice/internal/domainxml"
)

// judge goes through one description.
type judge struct {
	policy   *Policy
	refusals []*Refusal

	at      *element // the innermost one that is open; nil before the root
	skipped int      // elements open within one whose content is not looked at
	err     error    // of the pools
	pools   []Pool
	asked   bool // for the pools
}

// element is one that is open.
type element struct {
	path   string // beneath <domain>; empty: <domain> itself
	place  string // the same for the same thing in different places
	attrs  map[string]string
	parent *element
	text   strings.Builder // with that of the elements in it, as XPath's string() has it
	inner  bool            // there are such
}

func (j *judge) read(description string) error {
	err := domainxml.Walk(description, func(token xml.Token) error {
		switch t := token.(type) {
		case xml.StartElement:
			return j.start(t)
		case xml.EndElement:
			j.end()
		case xml.CharData:
			if j.at != nil && j.skipped == 0 {
				j.at.text.Write(t)
			}
		}
		return nil
	})
	if err == nil {
		err = j.err
	}
	return err
}

// namespaces are those that libvirt gives a meaning to.
var namespaces = map[string]string{"http://libvirt.org/schemas/domain/qemu/1.0": "qemu"}

func (j *judge) start(t xml.StartElement) error {
	if j.skipped > 0 {
		j.skipped++
		return nil
	}
	name := t.Name.Local
	if space := t.Name.Space; space != "" {
		if short := namespaces[space]; short != "" {
			space = short
		}
		name = space + ":" + name
	}
	e := &element{parent: j.at, attrs: make(map[string]string)}
	if j.at != nil {
		e.path = strings.TrimPrefix(j.at.path+"/"+name, "/")
	}
	e.place = placeOf(e.path)
	if e.parent != nil && (e.path == "metadata" || lists(j.policy.accept.Elements, e.path)) {
		j.skipped = 1
		return nil
	}
	if e.parent != nil && (t.Name.Space != "" || !known(e.path)) {
		j.refuse(e.path, "", "elements", e.path, "this element is not accepted")
		j.skipped = 1
		return nil
	}
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue // whatever is in one is seen by its name
		}
		if a.Name.Space != "" { // libvirt reads attributes whatever their namespace
			return fmt.Errorf("<%s> has an attribute in a namespace, %.40s", e.path, a.Name.Local)
		}
		if _, twice := e.attrs[a.Name.Local]; twice {
			return fmt.Errorf("<%s> has the attribute %.40s twice", e.path, a.Name.Local)
		}
		e.attrs[a.Name.Local] = a.Value
	}
	j.at = e
	if rule := elements[e.place]; rule != nil {
		rule(j, e)
	}
	for _, a := range t.Attr { // in their order, not the map's
		if value, is := e.attrs[a.Name.Local]; is && a.Name.Space == "" {
			j.attribute(e, a.Name.Local, value)
		}
	}
	return nil
}

func (j *judge) attribute(e *element, name, value string) {
	key := e.place + "@" + name
	if rule := values[key]; rule != nil {
		rule(j, e, value)
		return
	}
	if harmless := sources[e.place]; harmless != nil && !lists(harmless, name) {
		j.refuse(e.path+"@"+name, value, "", "", "this attribute is not known")
		return
	}
	j.ordinary(e, e.path+"@"+name, value)
}

func (j *judge) end() {
	if j.skipped > 0 {
		j.skipped--
		return
	}
	e := j.at
	j.at = e.parent
	text := e.text.String()
	if e.parent != nil {
		e.parent.text.WriteString(text)
		e.parent.inner = true
	}
	if rule := values[e.place]; rule != nil {
		rule(j, e, text)
		return
	}
	if !e.inner {
		j.ordinary(e, e.path, text)
	}
}

// ordinary refuses a value that could be a path, where no rule expects one.
func (j *judge) ordinary(e *element, where, value string) {
	if opaque[topOf(e.path)] {
		return
	}
	if trimmed := strings.TrimSpace(value); strings.HasPrefix(trimmed, "/") || strings.Contains(trimmed, "../") {
		j.refuse(where, value, "elements", e.path, "a path is not accepted here")
	}
}

func (j *judge) refuse(where, value, key, allow, why string, args ...any) {
	if key == "elements" {
		allow, _, _ = strings.Cut(allow, "@")
	}
	j.refusals = append(j.refusals, &Refusal{Element: where, Value: value, Key: key, Allow: allow, Why: fmt.Sprintf(why, args...)})
}

func topOf(path string) string {
	top, _, _ := strings.Cut(path, "/")
	return top
}
