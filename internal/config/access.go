package config

import (
	"maps"
	"slices"

	"github.com/virt-sluice/sluice/tlsconf"
)

// What a caller from another host may do with this host's libvirt.
const (
	AccessMigrate  = "migrate"   // bring guests here, and what that takes
	AccessReadOnly = "read-only" // look: libvirt's socket for reading alone
	AccessFull     = "full"      // everything, as root here
)

// Client is who may use this host's libvirt over TLS (qemu+tls://) without being a peer.
type Client struct {
	Names  []string `toml:"names"`  // rules for the names in its certificate
	Access string   `toml:"access"` // AccessMigrate, AccessReadOnly or AccessFull
}

func (c *checker) clients(cfg *Config) {
	for _, name := range slices.Sorted(maps.Keys(cfg.Clients)) {
		client, key := cfg.Clients[name], "clients."+name
		if len(client.Names) == 0 {
			c.fault(key, "names nobody: set names = [...] to what the client's certificate says, a DNS name or a distinguished name")
		}
		for _, rule := range client.Names {
			if _, err := tlsconf.ParseRules([]string{rule}); err != nil {
				c.fault(key+".names", "%v", err)
			}
		}
		if client.Access == "" {
			c.fault(key, "may do nothing: set access = %q, %q or %q", AccessReadOnly, AccessMigrate, AccessFull)
			continue
		}
		c.access(key+".access", client.Access)
	}
}

func (c *checker) access(key, access string) {
	switch access {
	case AccessMigrate, AccessReadOnly, AccessFull:
	default:
		c.fault(key, "%q must be %q, %q or %q", access, AccessMigrate, AccessReadOnly, AccessFull)
	}
}
