package proxy

import (
	"cmp"

	"github.com/virt-sluice/sluice/internal/config"
)

// access is what a caller from another host may do with this host's libvirt.
func (p *peer) access() string { return cmp.Or(p.conf.Access, config.AccessMigrate) }
