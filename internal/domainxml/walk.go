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

// declaration is what may stand before the root. Another encoding would have
// libvirt read other characters than are looked at here.
var declaration = regexp.MustCompile(`^<\?xml version=(?:"1\.0"|'1\.0')(?: encoding=(?:"[Uu][Tt][Ff]-8"|'[Uu][Tt][Ff]-8'))?(?: standalone=(?:"(?:yes|no)"|'(?:yes|no)'))? ?\?>`)

// Walk hands visit each token of a description, as long as it keeps within the bounds and nothing
// in it is read in two ways. Elements and attributes have their namespaces, or the prefix of one
// that is not declared. An error of visit's ends it, and is Walk's.
func Walk(text string, visit func(xml.Token) error) error {
	w := walk{text: text, root: "domain", visit: visit}
	return w.run()
}

// Bounded says what is wrong with documents of any kind that are to be parsed together: they keep
// within the bounds of one description.
func Bounded(texts ...string) error {
	var size, elements, attributes int
	for _, text := range texts {
		w := walk{text: text, visit: func(xml.Token) error { return nil }}
		if err := w.run(); err != nil {
			return err
		}
		size, elements, attributes = size+len(text), elements+w.elements, attributes+w.attributes
	}
	if size > MaxSize || elements > MaxElements || attributes > MaxAttributes {
		return fmt.Errorf("they have %d bytes, %d elements and %d attributes, where %d, %d and %d are the most",
			size, elements, attributes, MaxSize, MaxElements, MaxAttributes)
	}
	return nil
}

// walk is how far a document has been read.
type walk struct {
	text  string // behind the declaration
	root  string // the name that its root is to have; empty: any
	visit func(xml.Token) error
	d     *xml.Decoder

	begun                       bool // there was a root
	depth, elements, attributes int
}

func (w *walk) run() error {
	switch {
	case len(w.text) > MaxSize:
		return fmt.Errorf("it has %d bytes, where %d are the most", len(w.text), MaxSize)
	case !utf8.ValidString(w.text):
		return errors.New("it is not UTF-8")
	case strings.Count(w.text, "<") > 3*MaxElements: // with ends of elements, comments and CDATA
		return fmt.Errorf("it has more than %d elements", MaxElements)
	case strings.Count(w.text, "=") > 2*MaxAttributes: // with those in texts
		return fmt.Errorf("it has more than %d attributes", MaxAttributes)
	}
	w.text = w.text[len(declaration.FindString(w.text)):]
	w.d = xml.NewDecoder(strings.NewReader(w.text))
	for {
		token, err := w.d.Token()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = w.token(token)
		}
		if err != nil {
			return err
		}
	}
	if !w.begun {
		return errors.New("it is empty")
	}
	return nil
}

func (w *walk) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		if err := w.start(t); err != nil {
			return err
		}
	case xml.EndElement:
		w.depth--
	case xml.CharData:
		if w.depth == 0 && strings.Trim(string(t), " \t\r\n") != "" {
			return errors.New("there is text outside of its root")
		}
	case xml.Directive: // entities of its own, and defaults of attributes
		return errors.New("it has a DOCTYPE, which is not for descriptions of guests")
	case xml.ProcInst:
		return fmt.Errorf("it has a processing instruction, %.40q", t.Target)
	}
	return w.visit(token)
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
	case w.depth == 1 && w.begun:
		return errors.New("it has two roots")
	case w.depth == 1:
		w.begun = true
		if w.root != "" && (t.Name.Space != "" || t.Name.Local != w.root) {
			return fmt.Errorf("its root is <%.40s>, not <%s>", t.Name.Local, w.root)
		}
	}
	return nil
}
