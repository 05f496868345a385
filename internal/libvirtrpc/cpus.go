package libvirtrpc

import "fmt"

// The questions about what this host could run are, of those that callers without full access may
// ask, the ones that name a program or carry XML. libvirtd runs the program, as root, and builds a
// tree of the XML.
const (
	ProcCompareCPU            Procedure = 158
	ProcBaselineCPU           Procedure = 162
	ProcDomainCapabilities    Procedure = 342
	ProcCompareHypervisorCPU  Procedure = 393
	ProcBaselineHypervisorCPU Procedure = 394
)

// AsksAboutCPUs says whether DecodeCPUs knows the call.
func (p Procedure) AsksAboutCPUs() bool {
	switch p {
	case ProcCompareCPU, ProcBaselineCPU, ProcDomainCapabilities, ProcCompareHypervisorCPU, ProcBaselineHypervisorCPU:
		return true
	}
	return false
}

// CPUs is what such a question is about.
type CPUs struct {
	Emulator string   // a program's path; empty: libvirt's choice
	XML      []string // descriptions of CPUs
}

// maxCPUs is REMOTE_CPU_BASELINE_MAX.
const maxCPUs = 256

// DecodeCPUs reads such a question.
func DecodeCPUs(p Procedure, body []byte) (*CPUs, error) {
	r := reader{b: body}
	q := new(CPUs)
	if p == ProcDomainCapabilities || p == ProcCompareHypervisorCPU || p == ProcBaselineHypervisorCPU {
		if e := r.optional(); e != nil {
			q.Emulator = *e
		}
		r.optional() // architecture
		r.optional() // machine
		r.optional() // kind of virtualisation
	}
	switch p {
	case ProcCompareCPU, ProcCompareHypervisorCPU:
		q.XML = []string{r.text()}
	case ProcBaselineCPU, ProcBaselineHypervisorCPU:
		n := r.uint()
		if r.err == nil && n > maxCPUs {
			r.err = fmt.Errorf("%d CPUs where %d are the most", n, maxCPUs)
		}
		for range n {
			if r.err != nil {
				break
			}
			q.XML = append(q.XML, r.text())
		}
	}
	r.uint() // flags
	return q, r.end(p.String())
}
