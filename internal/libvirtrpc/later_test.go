package libvirtrpc

import (
	"reflect"
	"testing"
)

// What a newer libvirt says and sluice does not know goes through as it is, when sluice writes the
// call anew, too.
func TestLaterLibvirt(t *testing.T) {
	later := Params{
		{Field: "later.int", kind: paramInt, bits: 1<<32 - 1},
		{Field: "later.uint", kind: paramUint, bits: 1<<32 - 1},
		{Field: "later.llong", kind: paramLlong, bits: 1<<64 - 1},
		{Field: "later.ullong", kind: paramUllong, bits: 1<<64 - 1},
		{Field: "later.double", kind: paramDouble, bits: 0x3ff8000000000000},
		{Field: "later.boolean", kind: paramBoolean, bits: 1},
		{Field: "later.string", kind: paramString, Text: "zstd"},
		{Field: "later.string", kind: paramString, Text: "zlib"},
	}
	const flags = 1<<31 | 1<<30 | 1
	p, err := DecodePrepare((&Prepare{Params: later, Cookie: []byte("c"), Flags: flags}).Encode())
	if err != nil {
		t.Fatal(err)
	}
	p.Params = p.Params.With(ParamURI, "unix:///run/x")
	if p, err = DecodePrepare(p.Encode()); err != nil {
		t.Fatal(err)
	}
	if got := p.Params.Without(ParamURI); p.Flags != flags || !reflect.DeepEqual(got, later) {
		t.Errorf("flags %#x, want %#x; parameters\n%+v, want\n%+v", p.Flags, uint32(flags), got, later)
	}
	f, err := DecodeFinish((&Finish{Params: later, Cookie: []byte("c"), Flags: flags}).Encode())
	if err != nil || f.Flags != flags || !reflect.DeepEqual(f.Params, later) {
		t.Errorf("Finish is %+v, %v", f, err)
	}
	c, err := DecodeConfirm((&Confirm{Params: later, Cookie: []byte("c"), Flags: flags}).Encode())
	if err != nil || c.Flags != flags || !reflect.DeepEqual(c.Params, later) {
		t.Errorf("Confirm is %+v, %v", c, err)
	}
}
