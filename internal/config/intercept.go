package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// Intercept says which connections of this host's QEMUs the kernel leads to sluice.
type Intercept struct {
	Port  int    `toml:"port"`  // where the daemon takes them, on loopback; default 16516
	Ports string `toml:"ports"` // the migration ports of every host, "FIRST-LAST"; default libvirt's own

	// PeersAlone refuses connections from here to the migration ports of hosts that are no peers,
	// to which a name service could lead a guest.
	PeersAlone bool `toml:"peers_alone"`
}

// Defaults of interception. libvirt's ports are migration_port_min and _max in
// qemu.conf; NBD has its own of the same.
const (
	DefaultInterceptPort  = 16516
	DefaultInterceptPorts = "49152-49215"
)

// leastMigrationPort keeps a slip of the pen from closing a host's SSH.
const leastMigrationPort = 1024

// Range is the migration ports. Of a loaded configuration it is valid.
func (i *Intercept) Range() (first, last uint16) {
	first, last, _ = parsePorts(i.Ports)
	return first, last
}

func parsePorts(text string) (first, last uint16, ok bool) {
	a, b, isRange := strings.Cut(text, "-")
	if !isRange {
		b = a
	}
	from, errA := strconv.ParseUint(a, 10, 16)
	to, errB := strconv.ParseUint(b, 10, 16)
	return uint16(from), uint16(to), errA == nil && errB == nil && leastMigrationPort <= from && from <= to
}

// intercept checks [intercept], and that what it closes is nobody's way in.
func (c *checker) intercept(cfg *Config) {
	i := cfg.Intercept
	if i == nil {
		return
	}
	if i.Port == 0 {
		i.Port = DefaultInterceptPort
	}
	if i.Ports == "" {
		i.Ports = DefaultInterceptPorts
	}
	if i.Port < 1 || i.Port > 65535 {
		c.fault("intercept.port", "%d must be a number from 1 to 65535", i.Port)
	}
	first, last, ok := parsePorts(i.Ports)
	if !ok {
		c.fault("intercept.ports", `%q must be "FIRST-LAST", ports from %d to 65535, such as %q`, i.Ports, leastMigrationPort, DefaultInterceptPorts)
		return
	}
	port := fmt.Sprint(i.Port)
	if inRange(port, first, last) {
		c.fault("intercept.port", "%d is among intercept.ports (%s): connections would go in a circle", i.Port, i.Ports)
	}
	type place struct{ key, address string }
	listens := []place{{"listen", cfg.Listen}, {"metrics", cfg.Metrics}, {"web.listen", cfg.Web.Listen}}
	for n, t := range cfg.Tunnels {
		if a, err := spec.ParseAddress(t.Listen); err == nil && (a.Kind == spec.TCP || a.Kind == spec.TLS) {
			listens = append(listens, place{fmt.Sprintf("tunnel.%d.listen", n), a.At})
		}
	}
	for _, other := range listens {
		_, p, err := net.SplitHostPort(other.address)
		switch {
		case err != nil: // none, or a fault already
		case p == port:
			c.fault("intercept.port", "%d is the port of `%s`; interception needs one of its own", i.Port, other.key)
		case inRange(p, first, last):
			c.fault(other.key, "port %s is among intercept.ports (%s), which are closed to other hosts", p, i.Ports)
		}
	}
	tables := cfg.tables()
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if IsPattern(name) && !i.PeersAlone {
			c.fault("intercept", "the kernel's table does not know the addresses of all hosts of [peers.%q], to which guests could then go in clear: set peers_alone = true, and list those that interception is to reach in `hosts`", name)
		}
		if p := tables[name]; i.PeersAlone && p.WithoutSluice != WithoutNo && p.WithoutSluice != "" {
			c.fault("intercept.peers_alone", "guests could not go to %s any more, whose without_sluice is %q: leave out one of the two", name, p.WithoutSluice)
		}
		if _, p, err := net.SplitHostPort(tables[name].Address); err == nil && inRange(p, first, last) {
			c.fault("peers."+name+".address", "port %s is among intercept.ports (%s): sluice's own connections would come back to it", p, i.Ports)
		}
	}
}

func inRange(port string, first, last uint16) bool {
	p, err := strconv.ParseUint(port, 10, 16)
	return err == nil && uint16(p) >= first && uint16(p) <= last
}

// InterceptAt are the addresses and names at which the peer's QEMUs are reached.
func (p Peer) InterceptAt() []string {
	if p.Intercept != nil {
		return p.Intercept
	}
	if p.WithoutSluice != WithoutNo {
		return nil // who would take them there?
	}
	host, _, err := net.SplitHostPort(p.Address)
	if err != nil {
		return nil
	}
	return []string{host}
}

func (c *checker) interceptAt(key string, p Peer) {
	for _, host := range p.Intercept {
		if a, err := netip.ParseAddr(host); !validHost(host) || err == nil && a.Zone() != "" {
			c.fault(key+".intercept", "%q is neither an IP address nor a host name; ports are in intercept.ports", host)
		}
	}
}
