package config

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// What becomes of a URI of the user's own that would have data go to the peer past sluice.
const (
	URIReplace = "replace" // a session takes the data
	URIRefuse  = "refuse"  // it counts as data in clear
)

func (c *checker) migrateURI(cfg *Config) {
	switch cfg.MigrateURI {
	case "":
		cfg.MigrateURI = URIReplace
	case URIReplace, URIRefuse:
	default:
		c.fault("migrate_uri", "%q must be %q or %q", cfg.MigrateURI, URIReplace, URIRefuse)
	}
}

// aliases checks what else peers are called.
func (c *checker) aliases(cfg *Config) {
	owner := map[string]string{}
	for name := range cfg.Peers {
		owner[HostKey(name)] = name
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Peers)) {
		for _, alias := range cfg.Peers[name].Aliases {
			key := "peers." + name + ".aliases"
			if _, err := netip.ParseAddr(HostKey(alias)); err != nil {
				if err := ValidPeerName(alias); err != nil {
					c.fault(key, "%v", err)
					continue
				}
			}
			if other, taken := owner[HostKey(alias)]; taken && other != name {
				c.fault(key, "%q already stands for peer %q; one name cannot be two peers", alias, other)
			}
			owner[HostKey(alias)] = name
		}
	}
}

// Called is what peers are called: by their names and aliases, the hosts of their addresses, and
// those names of their certificates that are names of hosts. It has each peer's name by what it is
// called, as HostKey has that. What could be two peers is neither's.
func (c *Config) Called() map[string]string {
	owner := map[string]string{}
	for name, p := range c.Peers {
		owner[HostKey(name)] = name
		for _, alias := range p.Aliases {
			owner[HostKey(alias)] = name
		}
	}
	others := map[string][]string{}
	for name, p := range c.Peers {
		host, _, _ := net.SplitHostPort(p.Address)
		for _, one := range append(slices.Clone(p.Names), host) {
			key := HostKey(one)
			if owner[key] == "" && validHost(one) && !slices.Contains(others[key], name) {
				others[key] = append(others[key], name)
			}
		}
	}
	for key, names := range others {
		if len(names) == 1 {
			owner[key] = names[0]
		}
	}
	return owner
}

// Links are further names for the folders of peers' sockets, and whose each is: all that peers are
// called, IPv6 addresses with and without the brackets that URIs put around them.
func (c *Config) Links() map[string]string {
	links := map[string]string{}
	for key, name := range c.Called() {
		links[key] = name
		if strings.Contains(key, ":") {
			links["["+key+"]"] = name
		}
	}
	for name, p := range c.Peers {
		for _, alias := range p.Aliases {
			links[alias] = name
		}
	}
	maps.DeleteFunc(links, func(link, _ string) bool {
		_, is := c.Peers[link]
		return is || len(link) > maxPeerName
	})
	return links
}

// HostKey is a host's name or address in the form in which two are compared: an address as Go
// writes it, without brackets, a name in lower case and without a dot at its end.
func HostKey(host string) string {
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
