package domainxml

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// InCookie returns the descriptions in a migration cookie, and the cookie without them. With
// VIR_MIGRATE_PERSIST_DEST the source's libvirt puts one there, and libvirt here defines the guest
// by it, else by the one that it runs by (qemuMigrationDstPersist). A cookie is a qemu-migration
// element with a NUL behind it.
func InCookie(cookie []byte) (found []string, without []byte, err error) {
	text := strings.TrimRight(string(cookie), "\x00")
	if text == "" {
		return nil, cookie, nil
	}
	w := walk{text: text, root: "qemu-migration"}
	var from, before, kept int64
	var rest strings.Builder
	w.visit = func(token xml.Token) error {
		switch t := token.(type) {
		case xml.StartElement:
			if w.depth == 2 && t.Name.Local == "domain" { // of whatever namespace
				from = before
			}
		case xml.EndElement:
			if w.depth == 1 && t.Name.Local == "domain" {
				found = append(found, w.text[from:w.d.InputOffset()])
				rest.WriteString(w.text[kept:from])
				kept = w.d.InputOffset()
			}
		}
		before = w.d.InputOffset()
		return nil
	}
	if err := w.run(); err != nil {
		return nil, nil, fmt.Errorf("read libvirt's migration cookie: %w", err)
	}
	if found == nil {
		return nil, cookie, nil
	}
	return found, []byte(rest.String() + w.text[kept:] + "\x00"), nil
}
