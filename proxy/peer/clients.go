package peer

import (
	"fmt"
	"maps"
	"slices"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// clientRule is a kind of libvirt client without a sluice, as configured.
type clientRule struct {
	name   string
	access string
	rules  tlsconf.Rules
	memory *stream.Memory       // holds what they send
	calls  []*libvirtrpc.Budget // that they may have in flight at libvirt
}

func makeClientRules(conf map[string]config.Client) ([]*clientRule, error) {
	var all []*clientRule
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		rules, err := tlsconf.ParseRules(conf[name].Names)
		if err != nil {
			return nil, fmt.Errorf("clients.%s.names: %w", name, err)
		}
		all = append(all, &clientRule{name: name, access: conf[name].Access, rules: rules})
	}
	return all, nil
}
