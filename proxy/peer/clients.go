package peer

import (
	"fmt"
	"maps"
	"slices"

	"github.com/virt-sluice/sluice/tlsconf"
)

// clientRule is a kind of libvirt client without a sluice, as configured.
type clientRule struct {
	name   string
	access string
	rules  tlsconf.Rules
	*Taken
}

// makeClients takes over what those that there were have taken.
func (s *Set) makeClients(before []*clientRule) error {
	conf := s.Config.Clients
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		rules, err := tlsconf.ParseRules(conf[name].Names)
		if err != nil {
			return fmt.Errorf("clients.%s.names: %w", name, err)
		}
		c := &clientRule{name: name, access: conf[name].Access, rules: rules}
		if i := slices.IndexFunc(before, func(b *clientRule) bool { return b.name == name }); i >= 0 {
			c.Taken = before[i].Taken
		} else {
			c.Taken = s.newTaken()
		}
		s.clients = append(s.clients, c)
	}
	return nil
}
