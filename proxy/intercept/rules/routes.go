package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"
)

// resolveTimeout is how long one name may take.
const resolveTimeout = 10 * time.Second

// Wanted is what a table is made from.
type Wanted struct {
	Port        uint16              // of this host's sluice, on loopback
	First, Last uint16              // the migration ports
	Hosts       map[string][]string // by peer: addresses and names at which its QEMUs are reached
	PeersAlone  bool
}

// Resolve is the table that is wanted on this host. Names of peers are resolved, all or it fails;
// addresses that are this host's own are left out, since its table may be in the configuration of
// every host.
func (w Wanted) Resolve(ctx context.Context) (*Table, error) {
	own, err := ownAddresses()
	if err != nil {
		return nil, err
	}
	t := &Table{Port: w.Port, First: w.First, Last: w.Last, PeersAlone: w.PeersAlone}
	whose := make(map[netip.Addr]string)
	var faults []error
	for _, peer := range slices.Sorted(maps.Keys(w.Hosts)) {
		for _, host := range w.Hosts[peer] {
			addrs, err := resolve(ctx, host)
			if err != nil {
				faults = append(faults, fmt.Errorf("peer %s: %q does not resolve (%w): fix the name service, or write addresses into peers.%s.intercept", peer, host, err, peer))
			}
			for _, a := range addrs {
				if a = a.Unmap(); slices.Contains(own, a) || a.IsLoopback() {
					continue
				}
				if other := whose[a]; other != "" && other != peer {
					faults = append(faults, fmt.Errorf("%v is an address of the peers %s and %s: one of the two is wrong; set `intercept` of both", a, other, peer))
				}
				whose[a] = peer
				t.Routes = append(t.Routes, Route{peer, a})
			}
		}
	}
	t.sort()
	return t, errors.Join(faults...)
}

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func ownAddresses() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this host's addresses: %w", err)
	}
	var own []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own, nil
}
