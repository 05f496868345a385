package config

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/tlsconf"
)

// A table of [peers] may be for all hosts of a domain: [peers."*.example.org"]. Which name a host
// has is then for its certificate to say, and where it is, for the name service.

// IsPattern says whether a table of [peers] is for the hosts of a domain.
func IsPattern(table string) bool { return strings.Contains(table, "*") }

// Patterns are the tables of [peers] that are for the hosts of a domain, by pattern, in lower case.
func (c *Config) Patterns() map[string]Peer { return c.patterns }

// PatternOf is the pattern that stands for a host, empty if none does. Of several it is the one with
// the fewest *, which is the longest domain.
func (c *Config) PatternOf(host string) string {
	if host != HostKey(host) || !validHost(host) || isAddress(host) || ValidPeerName(host) != nil ||
		c.RunDir != "" && len(peerSocket(c.RunDir, host)) > maxSocketPath {
		return ""
	}
	stars, rest := "", host
	for {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return ""
		}
		stars, rest = stars+"*.", after
		if _, is := c.patterns[stars+rest]; is {
			return stars + rest
		}
	}
}

// Peer has the settings of a host, as HostKey has its name, that a table of its own is for, or that
// a pattern stands for.
func (c *Config) Peer(host string) (Peer, bool) {
	if p, is := c.Peers[host]; is {
		return p, true
	}
	pattern := c.PatternOf(host)
	return c.patterns[pattern].of(host), pattern != ""
}

// PeerNames are the tables of [peers], and hosts of patterns.
func (c *Config) PeerNames() []string {
	return slices.Sorted(maps.Keys(c.tablesAnd(c.Peers)))
}

// tables are those of [peers] as they are written, by name.
func (c *Config) tables() map[string]Peer {
	own := maps.Clone(c.Peers)
	maps.DeleteFunc(own, func(name string, p Peer) bool { return p.table != "" && p.table != name })
	return c.tablesAnd(own)
}

func (c *Config) tablesAnd(peers map[string]Peer) map[string]Peer {
	all := maps.Clone(c.patterns)
	if all == nil {
		all = make(map[string]Peer)
	}
	maps.Copy(all, peers)
	return all
}

// Table is the name of the table of [peers] that a peer goes by.
func (p Peer) Table() string { return p.table }

// of is what a pattern's table says of one host.
func (p Peer) of(host string) Peer {
	_, port, _ := net.SplitHostPort(p.Address)
	p.Address = net.JoinHostPort(host, port)
	p.Names, p.Hosts = []string{host}, nil
	p.LibvirtURI = (&url.URL{Scheme: libvirtTLS, Host: host, Path: "/system"}).String()
	return p
}

// patterns takes the tables that are for the hosts of a domain out of Peers, and puts the hosts that
// they name there.
func (c *checker) patterns(cfg *Config) {
	for _, name := range slices.Sorted(maps.Keys(cfg.Peers)) {
		if !IsPattern(name) {
			continue
		}
		peer, before := cfg.Peers[name], len(c.faults)
		delete(cfg.Peers, name)
		pattern, key := strings.ToLower(name), "peers."+name
		if why := wrongDomain(pattern); why != "" {
			c.fault(key, "%q %s: write such as [peers.\"*.example.org\"]", name, why)
			continue
		}
		if _, twice := cfg.patterns[pattern]; twice {
			c.fault(key, "%q is there twice: names of hosts have no case", name)
			continue
		}
		peer.table = pattern
		c.ofPattern(cfg, key, &peer)
		if len(c.faults) > before {
			continue
		}
		if cfg.patterns == nil {
			cfg.patterns = make(map[string]Peer)
		}
		cfg.patterns[pattern] = peer
	}
	for _, pattern := range slices.Sorted(maps.Keys(cfg.patterns)) {
		for _, host := range cfg.patterns[pattern].Hosts {
			c.listed(cfg, pattern, HostKey(host))
		}
	}
}

// wrongDomain says what is wrong with a pattern.
func wrongDomain(pattern string) string {
	domain := pattern
	for strings.HasPrefix(domain, "*.") {
		domain = domain[2:]
	}
	switch {
	case pattern == "*" || domain == "*":
		return "would be every host, whatever its domain"
	case strings.Contains(domain, "*"):
		return "has a * that is not a whole label at its beginning"
	case strings.HasSuffix(domain, "."):
		return "ends with a dot"
	case !validHost(domain):
		return "is no domain in letters, digits, - and _ (one in other letters is written in its ASCII form, xn--…)"
	case isAddress("1." + domain), isAddress(domain):
		return "is of addresses, and certificates are matched by names"
	}
	return ""
}

// ofPattern checks what a pattern's table says of its hosts. What is one host's alone has no place
// there.
func (c *checker) ofPattern(cfg *Config, key string, p *Peer) {
	const own = "is one host's: give that host a table of its own, which counts instead of this one"
	port := DefaultPort
	if p.Address != "" {
		host, given, err := net.SplitHostPort(p.Address)
		if err != nil || host != "" || !validPort(given) {
			c.fault(key+".address", "%q %s; a port alone may be written, such as \":16600\": each host is looked for by its name", p.Address, own)
		}
		port = given
	}
	p.Address = ":" + port
	for _, k := range []struct {
		name string
		set  bool
	}{{"names", p.Names != nil}, {"aliases", p.Aliases != nil}, {"intercept", p.Intercept != nil}, {"libvirt_uri", p.LibvirtURI != ""}} {
		if k.set {
			c.fault(key+"."+k.name, "%s", own)
		}
	}
	if cfg.Certificates.SPIFFE != "" {
		c.fault(key, "SPIFFE's authorities vouch for IDs of their domains, and not for DNS names, by which a pattern knows a host: give each host a table with its ID in names")
	}
	if p.WithoutSluice == WithoutPlain {
		c.fault(key+".without_sluice", "%q takes a table of the host's own: what may go in clear, and with whom, is said for each host", WithoutPlain)
	}
	c.settings(cfg, key, p)
}

// listed makes a host of a pattern a peer like those that have a table.
func (c *checker) listed(cfg *Config, pattern, host string) {
	key := "peers." + pattern + ".hosts"
	switch of := cfg.PatternOf(host); {
	case of == "":
		if err := ValidPeerName(host); err != nil {
			c.fault(key, "%v", err)
			return
		}
		c.fault(key, "%q is no host of %s", host, pattern)
	case of != pattern:
		c.fault(key, "%q goes by [peers.%q]: list it there", host, of)
	case cfg.Peers[host].table == pattern:
		c.fault(key, "%q is there twice", host)
	default:
		if _, is := cfg.Peers[host]; is {
			c.fault(key, "%q has a table of its own, which counts: leave it out here", host)
			return
		}
		cfg.Peers[host] = cfg.patterns[pattern].of(host)
	}
}

// HostIn is the host that a certificate is of, by the patterns; empty if none stands for it. Only its
// DNS names count (subjectAltName). The error says why it could be several.
func (c *Config) HostIn(id tlsconf.Identity) (host string, err error) {
	if len(c.patterns) == 0 {
		return "", nil
	}
	var hosts []string
	wildcard, covered := "", false
	for _, name := range id.DNS {
		if strings.Contains(name, "*") {
			wildcard = name
			covered = covered || c.PatternOf(HostKey(strings.ReplaceAll(name, "*", "x"))) != ""
		} else if key := HostKey(name); c.PatternOf(key) != "" && !slices.Contains(hosts, key) {
			hosts = append(hosts, key)
		}
	}
	switch {
	case wildcard != "" && (covered || len(hosts) > 0):
		return "", fmt.Errorf("it has the name %s, which any host could have; a host that a pattern of [peers] stands for needs a certificate with its own name alone", wildcard)
	case len(hosts) > 1:
		return "", fmt.Errorf("it has %d names for which patterns of [peers] stand (%s), and may have one: issue it with one, or give the host a table of its own there, with one as NAME and the others in aliases", len(hosts), strings.Join(hosts[:min(len(hosts), 4)], ", "))
	case len(hosts) == 0:
		return "", nil
	}
	return hosts[0], nil
}

// SetAddress says how a peer is given another address than its name.
func (p Peer) SetAddress(name string) string {
	if p.table == name {
		return "set peers." + name + ".address"
	}
	return fmt.Sprintf("give it a table of its own, [peers.%q], with its address", name)
}
