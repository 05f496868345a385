package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/tlsconf"
)

// maxPeerName bounds a peer's name in bytes, so that its socket's path fits.
const maxPeerName = 64

// ValidPeerName says what is wrong with a peer's name, or nil. The name
// becomes that of a folder under the run folder, so it may not leave it.
func ValidPeerName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a peer's name may not be empty")
	case len(name) > maxPeerName:
		return fmt.Errorf("peer name %.70q is longer than %d characters", name, maxPeerName)
	case strings.Contains(name, "://"):
		return fmt.Errorf("%q is a URI; write the peer's name as in the configuration under [peers]", name)
	case name[0] == '.' || name[0] == '-':
		return fmt.Errorf("peer name %q may not start with %q", name, name[0])
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "":
		return fmt.Errorf("peer name %q may contain only letters, digits and . _ -, since it names a folder; its address goes into `address`", name)
	}
	return nil
}

func (c *checker) peers(cfg *Config) {
	c.patterns(cfg)
	owner := map[string]string{} // of a rule for certificates' names
	for _, name := range slices.Sorted(maps.Keys(cfg.Peers)) {
		peer, key := cfg.Peers[name], "peers."+name
		if err := ValidPeerName(name); err != nil {
			c.fault(key, "%v", err)
			continue
		}
		if peer.table == "" {
			peer.table = name
			peer.Address = c.address(key, name, peer.Address)
			c.settings(cfg, key, &peer)
			c.interceptAt(key, peer)
			if peer.Hosts != nil {
				c.fault(key+".hosts", "is for tables of a whole domain, such as [peers.\"*.example.org\"]")
			}
		}
		if peer.Names != nil && len(peer.Names) == 0 {
			c.fault(key+".names", "is empty, so no certificate would be accepted; leave it out to mean %q", name)
		}
		if len(peer.Names) == 0 {
			peer.Names = []string{name}
		}
		for _, rule := range peer.Names {
			if _, err := tlsconf.ParseRules([]string{rule}); err != nil {
				c.fault(key+".names", "%v", err)
				continue
			}
			folded := strings.ToLower(rule)
			if other, taken := owner[folded]; taken && other != name {
				c.fault(key+".names", "%q already stands for peer %q; one certificate cannot be two peers", rule, other)
			}
			owner[folded] = name
		}
		cfg.Peers[name] = peer
	}
}

// settings checks what may be in the table of one host and in that of a pattern. Address is complete.
func (c *checker) settings(cfg *Config, key string, p *Peer) {
	c.without(key, p)
	if p.TLS != "" {
		c.yesNo(key+".tls", p.TLS, *cfg.RequireSecure)
	}
	if p.Access != "" {
		c.access(key+".access", p.Access)
	}
}

// address completes HOST[:PORT] to HOST:PORT; empty is the peer's name.
func (c *checker) address(key, name, addr string) string {
	if addr == "" {
		if !validHost(name) {
			c.fault(key, "%q is not a host name, so this peer needs an address of its own: address = \"HOST:PORT\"", name)
		}
		return net.JoinHostPort(name, DefaultPort)
	}
	host, port := addr, DefaultPort
	if ip, err := netip.ParseAddr(strings.Trim(addr, "[]")); err == nil {
		host = ip.String()
	} else if strings.Contains(addr, ":") {
		host, port, err = net.SplitHostPort(addr)
		if err != nil {
			c.fault(key+".address", "%q is not HOST:PORT; an IPv6 address with a port goes in brackets, such as \"[2001:db8::2]:16514\"", addr)
			return addr
		}
	}
	if strings.Contains(addr, "://") {
		c.fault(key+".address", "%q is a URI; write HOST or HOST:PORT", addr)
		return addr
	}
	if !validHost(host) {
		c.fault(key+".address", "%q is neither an IP address nor a host name", host)
	}
	if !validPort(port) {
		c.fault(key+".address", "port %q must be a number from 1 to 65535", port)
	}
	return net.JoinHostPort(host, port)
}
