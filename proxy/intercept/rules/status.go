package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Status is what the kernel does. Where want is not nil, what differs from it is a problem.
func Status(want *Table) *control.InterceptStatus {
	st, err := Read()
	if err != nil {
		return &control.InterceptStatus{Problem: err.Error(), Routes: []control.InterceptRoute{}}
	}
	s := &control.InterceptStatus{On: true, Port: int(st.Port), Ports: fmt.Sprintf("%d-%d", st.First, st.Last), Refused: st.Refused, PeersAlone: st.PeersAlone, Elsewhere: st.Elsewhere, Routes: []control.InterceptRoute{}}
	for i, r := range st.Routes {
		s.Routes = append(s.Routes, control.InterceptRoute{Peer: r.Peer, Address: r.Addr.String(), Led: st.Redirected[i], Refused: st.Escaped[i]})
	}
	if want != nil {
		s.Problem = want.differs(&st.Table)
	}
	return s
}

// differs says in words what a table in the kernel has otherwise than t.
func (t *Table) differs(have *Table) string {
	var all []string
	if have.First != t.First || have.Last != t.Last {
		all = append(all, fmt.Sprintf("intercept.ports is %d-%d", t.First, t.Last))
	}
	if have.Port != t.Port && len(have.Routes) > 0 {
		all = append(all, fmt.Sprintf("intercept.port is %d", t.Port))
	}
	if have.PeersAlone != t.PeersAlone {
		all = append(all, fmt.Sprintf("intercept.peers_alone is %t", t.PeersAlone))
	}
	for _, r := range t.Routes {
		if !slices.Contains(have.Routes, r) {
			all = append(all, fmt.Sprintf("%s at %v is missing", r.Peer, r.Addr))
		}
	}
	for _, r := range have.Routes {
		if !slices.Contains(t.Routes, r) {
			all = append(all, fmt.Sprintf("%s at %v is not configured", r.Peer, r.Addr))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "the kernel differs from the configuration (" + strings.Join(all, "; ") + "): `sluice intercept up` corrects it"
}
