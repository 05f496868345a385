package virt

import "testing"

func TestIsVCPU(t *testing.T) {
	for thread, want := range map[string]bool{
		"CPU 0/KVM": true, "CPU 127/KVM": true, "CPU 0/TCG": true, "ALL CPUs/TCG": true,
		"qemu-system-x86": false, "IO mon_iothread": false, "CPU 0/": false, "": false,
	} {
		if got := isVCPU(thread); got != want {
			t.Errorf("%q: %t", thread, got)
		}
	}
}
