package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/firewall"
	"github.com/virt-sluice/sluice/proxy/control"
)

// reach says what can be told before a daemon runs of the ways between this host and its peers: that
// their names resolve, and that this host's own filter lets connections come and go.
func reach(ctx context.Context, cfg *config.Config) (found []control.Finding) {
	ways := make([]way, 0, len(cfg.Peers))
	for _, name := range listed(cfg) {
		host, port, err := net.SplitHostPort(cfg.Peers[name].Address)
		if err != nil {
			continue // Load takes no such address
		}
		w := way{peer: name}
		w.port = number(port)
		resolving, stop := context.WithTimeout(ctx, cfg.Limits.HandshakeTimeout)
		addrs, err := net.DefaultResolver.LookupNetIP(resolving, "ip", host)
		stop()
		if err != nil {
			found = append(found, control.Finding{Check: "peers", Result: control.ResultError, Code: "name-unresolved",
				Text: fmt.Sprintf("%s does not resolve on this host: %v", host, err), Remedy: "enter it into /etc/hosts or your name service, or set its address: --peer " + name + "=ADDRESS"})
			continue
		}
		for _, a := range addrs {
			w.addrs = append(w.addrs, a.Unmap())
		}
		ways = append(ways, w)
	}
	if len(ways) > 0 {
		names := make([]string, len(ways))
		for i, w := range ways {
			names[i] = fmt.Sprintf("%s (%s)", w.peer, joinAddrs(w.addrs))
		}
		found = append(found, control.Finding{Check: "peers", Result: control.ResultOK, Text: "these resolve: " + strings.Join(names, ", ")})
	} else {
		ways = []way{{peer: "another host", port: number(config.DefaultPort), addrs: []netip.Addr{{}}}}
	}
	return append(found, filtered(cfg, ways)...)
}

// A way is that to a peer and back.
type way struct {
	peer  string
	addrs []netip.Addr
	port  uint16 // where its sluice listens
}

func joinAddrs(addrs []netip.Addr) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

// filtered says what this host's packet filter does with connections on those ways.
func filtered(cfg *config.Config, ways []way) (found []control.Finding) {
	const check = "firewall"
	legacy, err := firewall.Legacy()
	switch {
	case err != nil:
		found = append(found, control.Finding{Check: check, Result: control.ResultWarning, Code: "firewall-unknown", Text: "iptables-legacy: " + err.Error()})
	case len(legacy) > 0:
		found = append(found, control.Finding{Check: check, Result: control.ResultWarning, Code: "firewall-unknown",
			Text:   "iptables-legacy has tables in use (" + strings.Join(legacy, ", ") + "), whose rules can't be read here",
			Remedy: "see whether `iptables-legacy -S` lets TCP port " + portOf(cfg) + " in"})
	}
	rules, err := firewall.Read()
	if err != nil {
		return append(found, control.Finding{Check: check, Result: control.ResultWarning, Code: "firewall-unknown", Text: "what it does with connections of sluice's is not known: " + err.Error(),
			Remedy: "run this as root, or see to it that TCP port " + portOf(cfg) + " is open"})
	}
	// In the same words, what is said of several peers is said once.
	type kind struct {
		firewall.Finding
		port uint16
		six  bool
	}
	var kinds []kind
	peers, addrs := make(map[kind][]string), make(map[kind][]netip.Addr)
	for _, w := range ways {
		for _, addr := range w.addrs {
			for _, c := range []firewall.Connection{{Peer: addr, Port: number(portOf(cfg))}, {Peer: addr, Port: w.port, Leaves: true}} {
				k := kind{rules.Judge(c), c.Port, addr.Is6()}
				if k.Verdict == firewall.Passes {
					continue
				}
				if !slices.Contains(kinds, k) {
					kinds = append(kinds, k)
				}
				if !slices.Contains(peers[k], w.peer) {
					peers[k] = append(peers[k], w.peer)
				}
				if addr.IsValid() {
					addrs[k] = append(addrs[k], addr)
				}
			}
		}
	}
	for _, k := range kinds {
		of := addrs[k]
		if len(of) > maxAddresses {
			of = nil
		}
		f := control.Finding{Check: check, Result: control.ResultError, Code: "firewall", Remedy: k.Remedy(of, k.port)}
		if k.Verdict == firewall.Depends {
			f.Result, f.Code = control.ResultWarning, "firewall-unknown"
			f.Remedy = "if `sluice check` finds the port filtered: " + f.Remedy
		}
		direction := "connections to port %d from %s"
		if k.Leaves {
			direction = "connections to port %d of %s"
		}
		f.Text = fmt.Sprintf(direction, k.port, strings.Join(peers[k], ", ")) + ": " + k.String()
		found = append(found, f)
	}
	if len(kinds) == 0 {
		found = append(found, control.Finding{Check: check, Result: control.ResultOK, Text: "nftables here lets connections to TCP port " + portOf(cfg) + " come and go; what other hosts and the network between do is not known yet"})
	}
	return found
}

// maxAddresses are as many as a remedy names.
const maxAddresses = 8

// portOf is where this host's sluice listens.
func portOf(cfg *config.Config) string {
	_, port, _ := net.SplitHostPort(cfg.Listen) // as Load has it
	return port
}

func number(port string) uint16 {
	n, _ := strconv.ParseUint(port, 10, 16) // as Load has it
	return uint16(n)
}
