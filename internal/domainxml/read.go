package domainxml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Bounds of a description. libvirt's own output for a guest with 1,000 devices
// keeps far below them.
const (
	MaxSize       = 1 << 20 // bytes
	MaxDepth      = 64      // elements within each other
	MaxElements   = 20_000
	MaxAttributes = 60_000
)

// Guest is which guest a description is of. Both are as they stand there.
type Guest struct {
	Name string // never empty
	UUID string // with hyphens or without, as libvirt reads it
}

// declaration is what may stand before the root. Another encoding would have
// libvirt read other characters than are looked at here.
var declaration = regexp.MustCompile(`^<\?xml version=(?:"1\.0"|'1\.0')(?: encoding=(?:"[Uu][Tt][Ff]-8"|'[Uu][Tt][Ff]-8'))?(?: standalone=(?:"(?:yes|no)"|'(?:yes|no)'))? ?\?>`)

// Read reads a description.
func Read(text string) (Guest, error) {
	g, err := read(text)
	if err != nil {
		return Guest{}, fmt.Errorf("read the guest's description: %w", err)
	}
	return g, nil
}

func read(text string) (g Guest, err error) {
	switch {
	case len(text) > MaxSize:
		return g, fmt.Errorf("it has %d bytes, where %d are the most", len(text), MaxSize)
	case !utf8.ValidString(text):
		return g, errors.New("it is not UTF-8")
	case strings.Count(text, "<") > 3*MaxElements: // with ends of elements, comments and CDATA
		return g, fmt.Errorf("it has more than %d elements", MaxElements)
	case strings.Count(text, "=") > 2*MaxAttributes: // with those in texts
		return g, fmt.Errorf("it has more than %d attributes", MaxAttributes)
	}
	text = text[len(declaration.FindString(text)):]
	w := walk{text: text, d: xml.NewDecoder(strings.NewReader(text))}
	for {
		token, err := w.d.Token()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = w.token(token)
		}
		if err != nil {
			return g, err
		}
	}
	switch {
	case !w.root:
		return g, errors.New("it is empty")
	case !w.name.seen || w.name.value == "":
		return g, errors.New("it has no <name>")
	case !w.uuid.seen || w.uuid.value == "": // libvirt would make one up
		return g, errors.New("it has no <uuid>")
	}
	return Guest{Name: w.name.value, UUID: w.uuid.value}, nil
}

// walk is how far a description has been read.
type walk struct {
	text string
	d    *xml.Decoder

	root                        bool // there was one
	depth, elements, attributes int
	name, uuid                  child
	within                      *child // whose text comes next; nil: nobody's
}

// child is a child of the root that is looked for.
type child struct {
	seen  bool
	start int64
	value string
}

func (w *walk) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return w.start(t)
	case xml.EndElement:
		w.depth--
		if w.within != nil {
			return w.end(t)
		}
	case xml.CharData:
		if w.depth == 0 && strings.Trim(string(t), " \t\r\n") != "" {
			return errors.New("there is text outside of its root")
		}
	case xml.Directive: // entities of its own, and defaults of attributes
		return errors.New("it has a DOCTYPE, which is not for descriptions of guests")
	case xml.ProcInst:
		return fmt.Errorf("it has a processing instruction, %.40q", t.Target)
	}
	return nil
}

func (w *walk) start(t xml.StartElement) error {
	w.depth++
	w.elements++
	w.attributes += len(t.Attr)
	switch {
	case w.elements > MaxElements:
		return fmt.Errorf("it has more than %d elements", MaxElements)
	case w.attributes > MaxAttributes:
		return fmt.Errorf("it has more than %d attributes", MaxAttributes)
	case w.depth > MaxDepth:
		return fmt.Errorf("its elements lie more than %d deep", MaxDepth)
	case w.within != nil:
		return errors.New("its <name> or <uuid> has an element in it")
	case w.depth == 1 && w.root:
		return errors.New("it has two roots")
	case w.depth == 1:
		w.root = true
		if t.Name.Space != "" || t.Name.Local != "domain" {
			return fmt.Errorf("its root is <%.40s>, not <domain>", t.Name.Local)
		}
	case w.depth == 2 && t.Name.Space == "": // libvirt asks XPath, for names without a namespace
		var c *child
		switch t.Name.Local {
		case "name":
			c = &w.name
		case "uuid":
			c = &w.uuid
		default:
			return nil
		}
		if c.seen { // libvirt takes the first
			return fmt.Errorf("it has more than one <%s>", t.Name.Local)
		}
		c.seen, c.start = true, w.d.InputOffset()
		w.within = c
	}
	return nil
}

// end takes the end of a name or UUID. Nothing but text may stand in it: what
// comments or CDATA leave of it is not for two parsers to agree on.
func (w *walk) end(t xml.EndElement) error {
	c := w.within
	w.within = nil
	raw := w.text[c.start:w.d.InputOffset()]
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
