package libvirtrpc

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func text(s string) *string { return &s }

var somePrepare = Prepare{
	Params: Params{
		{Field: ParamDestXML, Text: "<domain/>", kind: paramString},
		{Field: "bandwidth", kind: paramUllong, bits: 1 << 40},
		{Field: "parallel.connections", kind: paramInt, bits: 4},
		{Field: "migrate_disks", Text: "vda", kind: paramString},
		{Field: "migrate_disks", Text: "vdb", kind: paramString},
	},
	Cookie: []byte("<qemu-migration/>\x00"),
	Flags:  3,
}

func TestCallsRoundTrip(t *testing.T) {
	if got, err := DecodePrepare(somePrepare.Encode()); err != nil || !reflect.DeepEqual(*got, somePrepare) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, want := range []Prepared{{Cookie: []byte("abc"), URI: text("unix:///x")}, {Cookie: []byte{}}} {
		if got, err := DecodePrepared(want.Encode()); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	finish := Finish{Params: somePrepare.Params, Cookie: []byte("12345"), Flags: 9, Cancelled: 1}
	if got, err := DecodeFinish(finish.Encode()); err != nil || !reflect.DeepEqual(*got, finish) {
		t.Errorf("%+v, %v", got, err)
	}
	confirm := Confirm{Domain: Domain{Name: "g", UUID: [16]byte{7}, ID: 3}, Params: somePrepare.Params, Cookie: []byte("12345"), Flags: 9, Cancelled: 1}
	if got, err := DecodeConfirm(confirm.Encode()); err != nil || !reflect.DeepEqual(*got, confirm) {
		t.Errorf("%+v, %v", got, err)
	}
	open := Open{Name: text("qemu:///system"), Flags: 1}
	if got, err := DecodeOpen(open.Encode()); err != nil || !reflect.DeepEqual(*got, open) {
		t.Errorf("%+v, %v", got, err)
	}
	// go-libvirt's marker is 01 00 00 00.
	if got, err := DecodeOpen([]byte{1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 0, 0, 0, 0, 2}); err != nil || *got.Name != "x" || got.Flags != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	e := Error{ErrAccessDenied, "access denied: because"}
	if got, err := DecodeError(e.encode()); err != nil || *got != e {
		t.Errorf("%+v, %v", got, err)
	}
}

// No call is understood when any of its bytes is missing, or when more follow.
func TestCallsCut(t *testing.T) {
	var older, olderFinish, domain writer
	older.opaque([]byte("cookie"))
	older.optional(text("tcp:h:1"))
	older.ulong(3)
	older.optional(nil)
	older.ulong(7)
	older.text("<domain/>")
	olderFinish.text("g")
	olderFinish.opaque([]byte("cookie"))
	olderFinish.optional(nil)
	olderFinish.optional(nil)
	olderFinish.ulong(3)
	olderFinish.uint(1)
	domain.domain(Domain{Name: "g", UUID: [16]byte{1}, ID: 3})
	prepared := Prepared{Cookie: []byte("abc"), URI: text("unix:///x")}
	for name, c := range map[string]struct {
		body   []byte
		decode func([]byte) error
	}{
		"Prepare":  {somePrepare.Encode(), func(b []byte) error { _, err := DecodePrepare(b); return err }},
		"Prepared": {prepared.Encode(), func(b []byte) error { _, err := DecodePrepared(b); return err }},
		"Prepare3": {older.b, func(b []byte) error { _, err := DecodePrepare3(b); return err }},
		"Finish3":  {olderFinish.b, func(b []byte) error { _, err := DecodeFinish3(b); return err }},
		"AbortJob": {domain.b, func(b []byte) error { _, err := DecodeAbortJob(b); return err }},
		"Open":     {(&Open{}).Encode(), func(b []byte) error { _, err := DecodeOpen(b); return err }},
		"Feature":  {make([]byte, 4), func(b []byte) error { _, err := DecodeFeature(b); return err }},
	} {
		if err := c.decode(c.body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range c.body {
			if c.decode(c.body[:n]) == nil {
				t.Errorf("%s is understood without its last %d bytes", name, len(c.body)-n)
			}
		}
		if c.decode(append(bytes.Clone(c.body), 0, 0, 0, 0)) == nil {
			t.Errorf("%s is understood with bytes behind it", name)
		}
	}
}

func TestBounds(t *testing.T) {
	var w writer
	w.uint(maxParams + 1)
	if _, err := DecodePrepare(w.b); err == nil || !strings.Contains(err.Error(), "65 parameters") {
		t.Errorf("%v", err)
	}
	w = writer{}
	w.uint(1)
	w.uint(maxText + 1)
	if _, err := DecodeOpen(w.b); err == nil || !strings.Contains(err.Error(), "4194305 bytes") {
		t.Errorf("%v", err)
	}
	w = writer{}
	w.uint(1)
	w.text("field")
	w.uint(99)
	if _, err := DecodePrepare(w.b); err == nil || !strings.Contains(err.Error(), "type 99") {
		t.Errorf("%v", err)
	}
}

// libvirtd crashes over these calls without a cookie, and ends texts at a NUL.
func TestWhatHarmsLibvirt(t *testing.T) {
	prepare := somePrepare
	prepare.Cookie = nil
	var older writer
	older.opaque(nil)
	older.optional(nil)
	older.ulong(3)
	older.optional(nil)
	older.ulong(7)
	older.text("<domain/>")
	perform := Perform{Flags: 1}
	for name, decode := range map[string]func() error{
		"Prepare":  func() error { _, err := DecodePrepare(prepare.Encode()); return err },
		"Prepare3": func() error { _, err := DecodePrepare3(older.b); return err },
		"Perform":  func() error { _, err := DecodePerform(perform.Encode()); return err },
	} {
		if err := decode(); !errors.Is(err, ErrNoCookie) {
			t.Errorf("%s without a cookie: %v", name, err)
		}
	}
	perform.Flags |= flagPeer2Peer
	if _, err := DecodePerform(perform.Encode()); err != nil {
		t.Errorf("a peer-to-peer Perform without a cookie: %v", err)
	}
	for name, params := range map[string]Params{
		"value": {{Field: ParamDestName, Text: "g\x00h", kind: paramString}},
		"field": {{Field: ParamDestName + "\x00", Text: "g", kind: paramString}},
	} {
		prepare := Prepare{Params: params, Cookie: []byte("c")}
		if _, err := DecodePrepare(prepare.Encode()); err == nil || !strings.Contains(err.Error(), "NUL") {
			t.Errorf("a NUL in a %s: %v", name, err)
		}
	}
}

func TestParams(t *testing.T) {
	ps := somePrepare.Params
	if got, is, err := ps.Text(ParamDestXML); got != "<domain/>" || !is || err != nil {
		t.Errorf("%q %v %v", got, is, err)
	}
	if _, is, err := ps.Text(ParamURI); is || err != nil {
		t.Errorf("%v %v", is, err)
	}
	if _, _, err := ps.Text("migrate_disks"); err == nil {
		t.Error("a field that is there twice was read")
	}
	if _, _, err := ps.Text("bandwidth"); err == nil {
		t.Error("a number was read as text")
	}
	own := ps.With(ParamURI, "a").With(ParamURI, "b").Without("migrate_disks", "bandwidth")
	if got, _, _ := own.Text(ParamURI); got != "b" || len(own) != 3 || own.Has("bandwidth") || !ps.Has("bandwidth") {
		t.Errorf("%+v of %+v", own, ps)
	}
}

func TestOlderForms(t *testing.T) {
	var w writer
	w.opaque([]byte("cookie"))
	w.optional(text("tcp:h:1"))
	w.ulong(3)
	w.optional(text("other"))
	w.ulong(7)
	w.text("<domain/>")
	p, err := DecodePrepare3(w.b)
	if err != nil || string(p.Cookie) != "cookie" || p.Flags != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	for field, want := range map[string]string{ParamURI: "tcp:h:1", ParamDestName: "other", ParamDestXML: "<domain/>"} {
		if got, _, err := p.Params.Text(field); got != want || err != nil {
			t.Errorf("%s is %q, %v", field, got, err)
		}
	}
	if !p.Params.Has(ParamBandwidth) {
		t.Error("the bandwidth is lost")
	}
}

func TestMark(t *testing.T) {
	const plain = "<qemu-migration>\n  <name>g</name>\n  <domain><sluice-passed/></domain>\n</qemu-migration>\n\x00"
	marked := Mark([]byte(plain))
	if without, is, err := Unmarked(marked); !is || err != nil || string(without) != plain {
		t.Errorf("%q is %q, %v, %v", marked, without, is, err)
	}
	for _, in := range []string{plain, "<qemu-migration/>\x00", ""} {
		if without, is, err := Unmarked([]byte(in)); is || err != nil || string(without) != in {
			t.Errorf("%q is %q, %v, %v", in, without, is, err)
		}
	}
	if out := Mark([]byte("<qemu-migration/>\x00")); string(out) != "<qemu-migration/>\x00" {
		t.Errorf("an empty cookie becomes %q", out)
	}
	for _, in := range []string{string(Mark(marked)), "<qemu-migration><sluice-passed a='1'/></qemu-migration>", "<qemu-migration><sluice-passed>", "<"} {
		if without, is, err := Unmarked([]byte(in)); err == nil {
			t.Errorf("%q is %q, %v", in, without, is)
		}
	}
}

// What a start tag's attributes take is bounded before it is parsed.
func TestCookieOfAttributes(t *testing.T) {
	cookie := func(attributes int) []byte {
		return []byte("<qemu-migration><nbd" + strings.Repeat(" a=''", attributes) + "/></qemu-migration>\x00")
	}
	if _, changed, err := SetNBDPort(cookie(maxEquals), 7); !changed || err != nil {
		t.Errorf("as many as there may be: %v, %v", changed, err)
	}
	_, _, unmarked := Unmarked(cookie(maxEquals + 1))
	_, _, set := SetNBDPort(cookie(maxEquals+1), 7)
	if _, err := NBDPort(cookie(maxEquals + 1)); err == nil || unmarked == nil || set == nil {
		t.Errorf("one more: %v, %v, %v", err, unmarked, set)
	}
}

func TestSetNBDPort(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"<qemu-migration>\n  <name>g</name>\n  <nbd/>\n</qemu-migration>\n\x00", "<qemu-migration>\n  <name>g</name>\n  <nbd port='7'/>\n</qemu-migration>\n\x00"},
		{"<qemu-migration><nbd port='49153'/></qemu-migration>", "<qemu-migration><nbd port='7'/></qemu-migration>"},
		{"<qemu-migration><nbd port='1'><disk target='vda' capacity='8'/></nbd></qemu-migration>", "<qemu-migration><nbd port='7'><disk target='vda' capacity='8'/></nbd></qemu-migration>"},
		{"<qemu-migration><nbd a='&lt;&apos;' port='1'/></qemu-migration>", "<qemu-migration><nbd port='7' a='&lt;&#39;'/></qemu-migration>"},
		{"<qemu-migration><domain><metadata><nbd port='1'/></metadata></domain></qemu-migration>", ""},
		{"<qemu-migration><!-- <nbd/> --></qemu-migration>", ""},
		{"", ""},
	} {
		out, changed, err := SetNBDPort([]byte(c.in), 7)
		if err != nil || changed != (c.out != "") || changed && string(out) != c.out || !changed && string(out) != c.in {
			t.Errorf("%q gives %q, %v, %v", c.in, out, changed, err)
		}
	}
	for _, in := range []string{"<qemu-migration><nbd/>", "<qemu-migration><nbd/><nbd/></qemu-migration>", "<", "<a <nbd>"} {
		if out, _, err := SetNBDPort([]byte(in), 7); err == nil {
			t.Errorf("%q gives %q", in, out)
		}
	}
}
