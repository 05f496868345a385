package peer

import (
	"reflect"
	"slices"

	"github.com/virt-sluice/sluice/tlsconf"
)

// former is a peer as an earlier configuration had it, which is none any more, or is told by other
// names. Nothing begins with it. What has begun goes on: its sessions may open channels, and it may
// ask what became of their guests, and be asked. Sessions have no other tie to a configuration that
// is gone, so it is kept for as long as the daemon runs.
type former struct {
	peer   *Peer
	dnList *tlsconf.Rules
	policy *tlsconf.Policy
}

// maxFormer bounds them. The newest are kept.
const maxFormer = 1024

// formerIn are the former peers in the next set.
func (s *Set) formerIn(next *Set) []former {
	var all []former
	for name, p := range s.All {
		if !s.sameIn(next, name) {
			all = append(all, former{p, s.dnList, s.Policy(p)})
		}
	}
	for _, f := range s.former {
		again := slices.ContainsFunc(all, func(o former) bool {
			return o.peer.Name == f.peer.Name && reflect.DeepEqual(o.peer.Conf.Names, f.peer.Conf.Names) && o.policy.Source == f.policy.Source && reflect.DeepEqual(o.dnList, f.dnList)
		})
		if !again {
			all = append(all, f)
		}
	}
	return all[:min(len(all), maxFormer)]
}

// sameIn says whether whoever is the peer here is it in the next set, too.
func (s *Set) sameIn(next *Set, name string) bool {
	a, b := s.All[name], next.All[name]
	return b != nil && reflect.DeepEqual(a.Conf.Names, b.Conf.Names) && reflect.DeepEqual(s.Config.AllowedDNs, next.Config.AllowedDNs) &&
		s.Policy(a).Source == next.Policy(b).Source
}

// formerNames are the names of former peers that a certificate stands for.
func (s *Set) formerNames(who *tlsconf.Peer) (names []string) {
	for _, f := range s.former {
		if _, ok := f.peer.Rules.Match(who.Identity); !ok || slices.Contains(names, f.peer.Name) {
			continue
		}
		if f.dnList != nil {
			if _, ok := f.dnList.Match(who.Identity); !ok {
				continue
			}
		}
		if who.Within(f.policy) == nil {
			names = append(names, f.peer.Name)
		}
	}
	return names
}
