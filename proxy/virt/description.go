package virt

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Describe reads a guest's description. libvirt and Go's decoder would each take
// another of two UUIDs or names, so a description may have one of either.
func Describe(text string) (*libvirtxml.Domain, error) {
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
