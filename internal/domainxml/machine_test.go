package domainxml

import "testing"

func TestMachine(t *testing.T) {
	for description, want := range map[string]string{
		`<domain type='kvm'><name>g</name><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os></domain>`: "pc-q35-7.2",
		`<domain type='kvm'><os><type>hvm</type></os></domain>`:                                                  "",
		`<domain type='kvm'><type machine='no'/></domain>`:                                                       "",
	} {
		if got, err := Machine(description); got != want || err != nil {
			t.Errorf("%s: %q, %v", description, got, err)
		}
	}
	if _, err := Machine(`<domain><os>`); err == nil {
		t.Error("a description without an end is taken")
	}
}
