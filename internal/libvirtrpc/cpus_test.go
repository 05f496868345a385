package libvirtrpc

import (
	"reflect"
	"strings"
	"testing"
)

func TestDecodeCPUs(t *testing.T) {
	hypervisor := func(w *writer) {
		w.optional(text("/usr/bin/kvm"))
		w.optional(nil)
		w.optional(text("pc"))
		w.optional(nil)
	}
	for p, c := range map[Procedure]struct {
		write func(*writer)
		want  CPUs
	}{
		ProcCompareCPU:            {func(w *writer) { w.text("<cpu/>") }, CPUs{XML: []string{"<cpu/>"}}},
		ProcBaselineCPU:           {func(w *writer) { w.uint(2); w.text("<a/>"); w.text("<b/>") }, CPUs{XML: []string{"<a/>", "<b/>"}}},
		ProcDomainCapabilities:    {hypervisor, CPUs{Emulator: "/usr/bin/kvm"}},
		ProcCompareHypervisorCPU:  {func(w *writer) { hypervisor(w); w.text("<cpu/>") }, CPUs{"/usr/bin/kvm", []string{"<cpu/>"}}},
		ProcBaselineHypervisorCPU: {func(w *writer) { hypervisor(w); w.uint(1); w.text("<a/>") }, CPUs{"/usr/bin/kvm", []string{"<a/>"}}},
	} {
		if !p.AsksAboutCPUs() {
			t.Errorf("%v is passed unread", p)
		}
		var w writer
		c.write(&w)
		w.uint(0)
		if got, err := DecodeCPUs(p, w.b); err != nil || !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%v: %+v, %v", p, got, err)
		}
		for n := range w.b {
			if got, err := DecodeCPUs(p, w.b[:n]); err == nil {
				t.Errorf("%v, %d bytes of %d: %+v", p, n, len(w.b), got)
			}
		}
		if got, err := DecodeCPUs(p, append(w.b, 0, 0, 0, 0)); err == nil {
			t.Errorf("%v and more: %+v", p, got)
		}
	}
	var many writer
	many.uint(maxCPUs + 1)
	if _, err := DecodeCPUs(ProcBaselineCPU, many.b); err == nil || !strings.Contains(err.Error(), "257") {
		t.Error(err)
	}
	if ProcConnectOpen.AsksAboutCPUs() {
		t.Error("all are held")
	}
}

// Whatever takes an argument that names a thing of the host's, or XML, is looked into: this is the
// whole list of what callers may call without that, with what remote_protocol.x has them send.
func TestMigrateArguments(t *testing.T) {
	plain := map[Procedure]string{
		2: "", 66: "", 67: "", 68: "SASL", 69: "SASL", 70: "", 360: "", 361: "",
		3: "", 4: "", 5: "type", 6: "", 7: "", 59: "", 110: "", 149: "", 157: "", 312: "arch, flags",
		16: "domain", 21: "count", 22: "id", 23: "name", 24: "uuid", 25: "", 37: "count", 51: "",
		150: "domain", 151: "domain", 163: "domain", 212: "domain, flags", 273: "flags", 298: "domain, flags",
		105: "", 106: "", 167: "event", 168: "event", 316: "event, domain", 317: "callback",
	}
	lookedInto := map[Procedure]bool{
		ProcConnectOpen: true, ProcConnectSupportsFeature: true, ProcDomainAbortJob: true, ProcDomainAbortJobFlags: true,
		ProcMigratePrepare3: true, ProcMigratePrepare3Params: true, ProcMigratePrepareTunnel3Params: true,
		ProcMigrateFinish3: true, ProcMigrateFinish3Params: true,
	}
	for p := range Migrate {
		if _, is := plain[p]; !is && !lookedInto[p] && !p.AsksAboutCPUs() {
			t.Errorf("%v is passed, and nobody has looked at its arguments", p)
		}
	}
}
