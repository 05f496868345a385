package check

import (
	"slices"
	"testing"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

func TestKnownFaults(t *testing.T) {
	crash, parallel := virt.ResumeCrash, virt.ParallelPostCopy
	ofLibvirt := control.Finding{Peer: "host-b", Check: "versions", Result: control.ResultWarning, Code: "known-fault",
		Text: "libvirt on host-b is 11.3.0: " + crash.Text, Remedy: crash.Do}
	ofQEMU := control.Finding{Peer: "host-b", Check: "versions", Result: control.ResultWarning, Code: "known-fault",
		Text: "QEMU on host-b is 10.1.0: " + parallel.Text, Remedy: parallel.Do}
	for _, c := range []struct {
		name          string
		libvirt, qemu string
		want          []control.Finding
	}{
		{"libvirt's", "11.3.0", "10.0.2", []control.Finding{ofLibvirt}},
		{"QEMU's", "11.4.0", "10.1.0", []control.Finding{ofQEMU}},
		{"both", "11.3.0", "10.1.0", []control.Finding{ofLibvirt, ofQEMU}},
		{"before both", "11.1.0", "10.0.2", nil},
		{"not known", "", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &control.Findings{Peer: "host-b"}
			faults(l, "host-b", virt.Versions{Libvirt: c.libvirt, QEMU: c.qemu})
			if !slices.Equal(l.List, c.want) {
				t.Errorf("%+v, want %+v", l.List, c.want)
			}
		})
	}
}
