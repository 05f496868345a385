package domainxml

import "testing"

func TestHasVirtiofs(t *testing.T) {
	for filesystems, want := range map[string]bool{
		"": false,
		"<filesystem type='mount'><driver type='path'/></filesystem>":                                            false,
		"<filesystem type='mount'><source dir='/srv'/></filesystem>":                                             false,
		"<filesystem/><filesystem type='mount'><driver type='virtiofs' queue='1024'/></filesystem><filesystem/>": true,
	} {
		got, err := HasVirtiofs("<domain><devices>" + filesystems + "</devices></domain>")
		if err != nil || got != want {
			t.Errorf("%s: %t, %v", filesystems, got, err)
		}
	}
	if _, err := HasVirtiofs("<domain>"); err == nil {
		t.Error("a description without an end passes")
	}
}
