package domainxml

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestInCookie(t *testing.T) {
	for _, c := range []struct {
		cookie  string
		found   []string
		without string
	}{
		{"", nil, ""},
		{"<qemu-migration><name>g</name></qemu-migration>\x00", nil, "<qemu-migration><name>g</name></qemu-migration>\x00"},
		{"<qemu-migration>\n  <domain type='kvm'><name>g</name></domain>\n  <nbd port='1'/></qemu-migration>\x00",
			[]string{"<domain type='kvm'><name>g</name></domain>"}, "<qemu-migration>\n  \n  <nbd port='1'/></qemu-migration>\x00"},
		{"<qemu-migration><domain/><e:domain xmlns:e='urn:e'/><cpu><domain/></cpu></qemu-migration>",
			[]string{"<domain/>", "<e:domain xmlns:e='urn:e'/>"}, "<qemu-migration><cpu><domain/></cpu></qemu-migration>\x00"},
		{"<?xml version='1.0'?><qemu-migration><domain/></qemu-migration>", []string{"<domain/>"}, "<qemu-migration></qemu-migration>\x00"},
	} {
		found, without, err := InCookie([]byte(c.cookie))
		if err != nil || !slices.Equal(found, c.found) || string(without) != c.without {
			t.Errorf("%q: %q, %q, %v", c.cookie, found, without, err)
		}
	}
	for _, bad := range []string{"<domain/>", "<qemu-migration>", "<!DOCTYPE q><qemu-migration/>", "x\x00<qemu-migration/>"} {
		if found, _, err := InCookie([]byte(bad)); err == nil {
			t.Errorf("%q: %q", bad, found)
		}
	}
}

// FuzzInCookie: what is found is in the cookie, and nothing of the kind is left in it.
func FuzzInCookie(f *testing.F) {
	f.Add([]byte("<qemu-migration>\n  <domain type='kvm'><name>g</name></domain>\n  <nbd port='1'/></qemu-migration>\x00"))
	f.Add([]byte("<qemu-migration><domain/><e:domain xmlns:e='urn:e'/><cpu><domain/></cpu></qemu-migration>"))
	f.Add([]byte("<qemu-migration><![CDATA[<domain/>]]><!-- <domain/> --></qemu-migration>"))
	f.Fuzz(func(t *testing.T, cookie []byte) {
		found, without, err := InCookie(cookie)
		if err != nil {
			return
		}
		for _, one := range found {
			if !bytes.Contains(cookie, []byte(one)) || !strings.Contains(one, "domain") {
				t.Errorf("found %q in %q", one, cookie)
			}
		}
		if more, again, err := InCookie(without); err != nil || more != nil || !bytes.Equal(again, without) {
			t.Errorf("%q becomes %q, in which there is %q still, %v", cookie, without, more, err)
		}
	})
}
