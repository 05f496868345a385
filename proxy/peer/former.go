package peer

import (
	"reflect"
	"slices"

	"github.com/virt-sluice/sluice/internal/config"
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
	for _, e := range s.earlier {
		if host := e.host(who); host != "" && !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	return names
}

// earlierPatterns are those of an earlier configuration. Each host that they stand for is a former
// peer, whether or not it is one still.
type earlierPatterns struct {
	config   *config.Config
	policies *config.Policies
	dnList   *tlsconf.Rules
}

// maxEarlierPatterns bounds them, as they hold whole configurations. The newest are kept.
const maxEarlierPatterns = 32

// patternsBefore are those of s and of the sets before it.
func (s *Set) patternsBefore() []earlierPatterns {
	if s.Config == nil || len(s.Config.Patterns()) == 0 {
		return s.earlier
	}
	all := []earlierPatterns{{s.Config, s.Policies, s.dnList}}
	for _, e := range s.earlier {
		if !reflect.DeepEqual(e.config.Patterns(), s.Config.Patterns()) || e.policies.Host.Source != s.Policies.Host.Source || !reflect.DeepEqual(e.dnList, s.dnList) {
			all = append(all, e)
		}
	}
	return all[:min(len(all), maxEarlierPatterns)]
}

// host is the host that a certificate was of; empty if it was none.
func (e earlierPatterns) host(who *tlsconf.Peer) string {
	host, err := e.config.HostIn(who.Identity)
	if err != nil || host == "" {
		return ""
	}
	if e.dnList != nil {
		if _, ok := e.dnList.Match(who.Identity); !ok {
			return ""
		}
	}
	conf, _ := e.config.Peer(host)
	if who.Within(e.policies.Peers[conf.Table()]) != nil {
		return ""
	}
	return host
}
