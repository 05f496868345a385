package peer

import (
	"cmp"

	"github.com/virt-sluice/sluice/internal/config"
)

// Access is what a caller from another host may do with this host's libvirt.
func (p *Peer) Access() string { return cmp.Or(p.Conf.Access, config.AccessMigrate) }
