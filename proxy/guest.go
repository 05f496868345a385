package proxy

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// describe reads a guest's description. libvirt and Go's decoder would each take
// another of two UUIDs or names, so a description may have one of either.
func describe(text string) (*libvirtxml.Domain, error) {
	var dom libvirtxml.Domain
	if err := dom.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("read the guest's description: %w", err)
	}
	d, depth, seen := xml.NewDecoder(strings.NewReader(text)), 0, map[string]bool{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return &dom, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the guest's description: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth++; depth != 2 || t.Name.Local != "uuid" && t.Name.Local != "name" {
				continue
			}
			if seen[t.Name.Local] {
				return nil, fmt.Errorf("the guest's description has more than one <%s>", t.Name.Local)
			}
			seen[t.Name.Local] = true
		case xml.EndElement:
			depth--
		}
	}
}

// movingGuest is the guest that a Prepare is about.
type movingGuest struct {
	name string // at the destination, by which Finish names it
	uuid string
	id   libvirt.UUID // the same
}

// guestOf reads it from a Prepare's parameters.
func guestOf(params libvirtrpc.Params) (g movingGuest, err error) {
	text, is, err := params.Text(libvirtrpc.ParamDestXML)
	if err != nil {
		return g, err
	}
	if !is {
		return g, errors.New("the call has no description of the guest")
	}
	dom, err := describe(text)
	if err != nil {
		return g, err
	}
	uuid, err := parseUUID(dom.UUID)
	if err != nil {
		return g, fmt.Errorf("read the guest's description: %w", err)
	}
	g.id, g.uuid, g.name = uuid, formatUUID(uuid), dom.Name
	if name, is, err := params.Text(libvirtrpc.ParamDestName); err != nil {
		return g, err
	} else if is {
		g.name = name
	}
	if g.name == "" {
		return g, errors.New("the guest has no name")
	}
	return g, nil
}
