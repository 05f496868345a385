package libvirtrpc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// SetNBDPort is the cookie of a Prepare's reply with another port where the source is to send
// disks. changed is false for a cookie that promises no NBD server. The cookie is a qemu-migration
// element and a NUL behind it, the port an attribute of its child nbd, left out for a server on a
// unix socket (libvirt's qemu_migration_cookie.c).
func SetNBDPort(cookie []byte, port int) (out []byte, changed bool, err error) {
	from, to, attrs, err := findNBD(bytes.TrimRight(cookie, "\x00"))
	if err != nil {
		return nil, false, fmt.Errorf("read libvirt's migration cookie: %w", err)
	}
	if to == 0 {
		return cookie, false, nil
	}
	var b bytes.Buffer
	b.Write(cookie[:from])
	fmt.Fprintf(&b, "<nbd port='%d'", port)
	for _, a := range attrs {
		if a.Name.Local == "port" {
			continue
		}
		fmt.Fprintf(&b, " %s='", a.Name.Local)
		xml.EscapeText(&b, []byte(a.Value))
		b.WriteByte('\'')
	}
	if bytes.HasSuffix(cookie[:to], []byte("/>")) {
		b.WriteByte('/')
	}
	b.WriteByte('>')
	b.Write(cookie[to:])
	return b.Bytes(), true, nil
}

// NBDPort is the port in such a cookie, 0 if it has none.
func NBDPort(cookie []byte) (int, error) {
	_, _, attrs, err := findNBD(bytes.TrimRight(cookie, "\x00"))
	if err != nil {
		return 0, fmt.Errorf("read libvirt's migration cookie: %w", err)
	}
	for _, a := range attrs {
		if a.Name.Local == "port" {
			port, err := strconv.ParseUint(a.Value, 10, 16)
			if err != nil {
				return 0, fmt.Errorf("read libvirt's migration cookie: port %.20q", a.Value)
			}
			return int(port), nil
		}
	}
	return 0, nil
}

// findNBD finds the start tag of the one nbd element that is a child of the root; to is 0 if there
// is none. A guest's own description, which a cookie may hold, lies deeper.
func findNBD(cookie []byte) (from, to int64, attrs []xml.Attr, err error) {
	d := xml.NewDecoder(bytes.NewReader(cookie))
	for depth := 0; ; {
		before := d.InputOffset()
		token, err := d.RawToken()
		switch {
		case err == io.EOF && depth == 0:
			return from, to, attrs, nil
		case err == io.EOF:
			return 0, 0, nil, io.ErrUnexpectedEOF
		case err != nil:
			return 0, 0, nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 1 && t.Name.Space == "" && t.Name.Local == "nbd" {
				if to != 0 {
					return 0, 0, nil, errors.New("it has two nbd elements")
				}
				from, to, attrs = before, d.InputOffset(), t.Copy().Attr
			}
			depth++
		case xml.EndElement:
			depth--
		}
	}
}
