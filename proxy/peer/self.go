package peer

import (
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/tlsconf"
)

// IsSelf says whether a name or an address is known for this host's: by the configuration, where
// its own table among the peers' counts too, by its certificate, or by an interface. No name service
// is asked: somebody else could answer.
func (s *Set) IsSelf(host string) bool {
	key := config.HostKey(host)
	own := []string{config.HostKey(s.Config.Name)}
	if name, err := os.Hostname(); err == nil {
		own = append(own, config.HostKey(name))
	}
	if id, err := tlsconf.IdentityOf(s.Certs.Current().Leaf); err == nil {
		own = append(own, slices.Concat(id.DNS, id.IP)...)
	}
	if slices.Contains(own, key) {
		return true
	}
	for _, name := range own {
		if p := s.called[name]; p != "" && p == s.called[key] {
			return true
		}
	}
	return hasAddress(key)
}

// hasAddress says whether an interface of this host has an address; a loopback one is every host's.
func hasAddress(text string) bool {
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.IsLoopback() || ip.IsUnspecified() {
		return false
	}
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == ip.WithZone("").Unmap()
	})
}
