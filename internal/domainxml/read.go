package domainxml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
)

// Guest is which guest a description is of. Both are as they stand there.
type Guest struct {
	Name string // never empty
	UUID string // with hyphens or without, as libvirt reads it
}

// Read reads a description.
func Read(text string) (Guest, error) {
	var f finder
	f.walk = walk{text: text, root: "domain", visit: f.token}
	err := f.run()
	switch {
	case err != nil:
	case !f.name.seen || f.name.value == "":
		err = errors.New("it has no <name>")
	case !f.uuid.seen || f.uuid.value == "": // libvirt would make one up
		err = errors.New("it has no <uuid>")
	}
	if err != nil {
		return Guest{}, fmt.Errorf("read the guest's description: %w", err)
	}
	return Guest{Name: f.name.value, UUID: f.uuid.value}, nil
}

// finder finds a guest's name and UUID.
type finder struct {
	walk
	name, uuid child
	within     *child // whose text comes next; nil: nobody's
}

// child is a child of the root that is looked for.
type child struct {
	seen  bool
	start int64
	value string
}

func (f *finder) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return f.start(t)
	case xml.EndElement:
		if f.within != nil {
			return f.end(t)
		}
	}
	return nil
}

func (f *finder) start(t xml.StartElement) error {
	if f.within != nil {
		return errors.New("its <name> or <uuid> has an element in it")
	}
	if f.depth != 2 || t.Name.Space != "" { // libvirt asks XPath, for names without a namespace
		return nil
	}
	var c *child
	switch t.Name.Local {
	case "name":
		c = &f.name
	case "uuid":
		c = &f.uuid
	default:
		return nil
	}
	if c.seen { // libvirt takes the first
		return fmt.Errorf("it has more than one <%s>", t.Name.Local)
	}
	c.seen, c.start = true, f.d.InputOffset()
	f.within = c
	return nil
}

// end takes the end of a name or UUID. Nothing but text may stand in it: what
// comments or CDATA leave of it is not for two parsers to agree on.
func (f *finder) end(t xml.EndElement) error {
	c := f.within
	f.within = nil
	raw := f.text[c.start:f.d.InputOffset()]
	if raw == "" { // <name/>
		return nil
	}
	raw, _, _ = strings.Cut(raw, "</")
	if strings.Contains(raw, "<") {
		return fmt.Errorf("its <%s> has more in it than text", t.Name.Local)
	}
	if err := xml.Unmarshal([]byte("<v>"+raw+"</v>"), &c.value); err != nil {
		return fmt.Errorf("its <%s>: %w", t.Name.Local, err)
	}
	return nil
}
