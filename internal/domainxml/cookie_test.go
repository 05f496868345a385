package domainxml

import (
	"slices"
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
