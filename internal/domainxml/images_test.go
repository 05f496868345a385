package domainxml

import "testing"

func TestHasImages(t *testing.T) {
	for description, want := range map[string]bool{
		`<domain type='kvm'><os><loader type='rom'>/x</loader></os><devices><disk device='cdrom'><target dev='sda'/></disk></devices></domain>`: false,
		`<domain type='kvm'><devices><filesystem><source dir='/x'/></filesystem></devices></domain>`:                                            false,
		`<domain type='kvm'><devices><disk type='file' device='cdrom'><source file='/x'/><readonly/></disk></devices></domain>`:                 true,
		`<domain type='kvm'><os><loader readonly='yes' type='pflash'>/x</loader><nvram>/y</nvram></os></domain>`:                                true,
	} {
		if got, err := HasImages(description); got != want || err != nil {
			t.Errorf("%s: %t, %v", description, got, err)
		}
	}
	if _, err := HasImages(`<domain><devices>`); err == nil {
		t.Error("a description without an end is taken")
	}
}
