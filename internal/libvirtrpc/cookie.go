package libvirtrpc

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// SetNBDPort is the cookie of a Prepare's reply with another port where the source is to send
// disks. changed is false for a cookie that promises no NBD server. The cookie is a qemu-migration
// element and a NUL behind it, the port an attribute of its child nbd, left out for a server on a
// unix socket (libvirt's qemu_migration_cookie.c).
func SetNBDPort(cookie []byte, port int) (out []byte, changed bool, err error) {
	from, to, attrs, err := find(cookie, "nbd")
	if err != nil {
		return nil, false, err
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
	_, _, attrs, err := find(cookie, "nbd")
	if err != nil {
		return 0, err
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

// mark is the element by which one sluice tells another, in a cookie that a client carries between
// them, that what the client says to libvirt at the cookie's source passes a sluice.
const mark = "sluice-passed"

// Mark is the cookie with the mark in it. One that has no content stays as it is.
func Mark(cookie []byte) []byte {
	end := bytes.LastIndex(cookie, []byte("</"))
	if end < 0 || len(cookie)+len("<"+mark+"/>") > maxCookie {
		return cookie
	}
	return slices.Concat(cookie[:end], []byte("<"+mark+"/>"), cookie[end:])
}

// Unmarked is the cookie without the mark, and whether it had it.
func Unmarked(cookie []byte) (without []byte, marked bool, err error) {
	from, to, _, err := find(cookie, mark)
	if err != nil || to == 0 {
		return cookie, false, err
	}
	if string(cookie[from:to]) != "<"+mark+"/>" {
		return nil, false, fmt.Errorf("read libvirt's migration cookie: %.60q", cookie[from:to])
	}
	return slices.Concat(cookie[:from], cookie[to:]), true, nil
}

// maxEquals bounds what parsing a cookie takes: there is one of these in each attribute, and a start
// tag's attributes take fifty times their own bytes of memory. libvirt's cookies keep far below it, with
// a description of a guest with 1,000 devices in them, too.
const maxEquals = 120_000

// find is findChild in a cookie with a NUL behind it.
func find(cookie []byte, name string) (from, to int64, attrs []xml.Attr, err error) {
	if bytes.Count(cookie, []byte("=")) > maxEquals {
		err = fmt.Errorf("it has more than %d attributes", maxEquals)
	} else {
		from, to, attrs, err = findChild(bytes.TrimRight(cookie, "\x00"), name)
	}
	if err != nil {
		err = fmt.Errorf("read libvirt's migration cookie: %w", err)
	}
	return from, to, attrs, err
}

// findChild finds the start tag of the one element of that name that is a child of the root; to is 0
// if there is none. A guest's own description, which a cookie may hold, lies deeper.
func findChild(cookie []byte, name string) (from, to int64, attrs []xml.Attr, err error) {
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
			if depth == 1 && t.Name.Space == "" && t.Name.Local == name {
				if to != 0 {
					return 0, 0, nil, fmt.Errorf("it has two %s elements", name)
				}
				from, to, attrs = before, d.InputOffset(), t.Copy().Attr
			}
			depth++
		case xml.EndElement:
			depth--
		}
	}
}
