package firewall

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
)

// A Keeper is the program that keeps rules, and by which they are to be changed.
type Keeper string

const (
	NFT       Keeper = "nftables"
	IPTables  Keeper = "iptables"
	Firewalld Keeper = "firewalld"
	UFW       Keeper = "ufw"
)

// keeper tells whose a table is by the names that the programs give.
func (t *table) keeper() Keeper {
	switch {
	case t.name == "firewalld":
		return Firewalld
	case t.family == nftables.TableFamilyINet:
		return NFT
	case t.chains["ufw-user-input"] != nil, t.chains["ufw6-user-input"] != nil:
		return UFW
	case t.chains["INPUT"] != nil && t.chains["FORWARD"] != nil && t.chains["OUTPUT"] != nil && t.name == "filter":
		return IPTables
	}
	return NFT
}

// word is the family as nft(8) writes it.
func (t *table) word() string {
	switch t.family {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	}
	return "inet"
}

// Remedy is the command that lets connections to a port through: those with peers, all of one
// family, or with any host where none is named.
func (f Finding) Remedy(peers []netip.Addr, port uint16) string {
	addresses := make([]string, len(peers))
	for i, p := range peers {
		addresses[i] = p.String()
	}
	six := len(peers) > 0 && peers[0].Is6()
	switch f.Keeper {
	case Firewalld:
		if !f.Leaves {
			return fmt.Sprintf("sudo firewall-cmd --permanent --add-port=%d/tcp && sudo firewall-cmd --reload", port)
		}
		// What leaves is filtered by policies alone (firewalld 0.9), of which those below zero come first.
		words := []string{"--new-policy=sluice"}
		for _, is := range []string{"--set-priority=-32000", "--add-ingress-zone=HOST", "--add-egress-zone=ANY", fmt.Sprintf("--add-port=%d/tcp", port)} {
			words = append(words, "--policy=sluice "+is)
		}
		return "sudo firewall-cmd --permanent " + strings.Join(words, " && sudo firewall-cmd --permanent ") + " && sudo firewall-cmd --reload"
	case UFW:
		switch {
		case f.Leaves:
			return fmt.Sprintf("sudo ufw allow out %d/tcp", port)
		case len(peers) == 1:
			return fmt.Sprintf("sudo ufw allow proto tcp from %s to any port %d", peers[0], port)
		}
		return fmt.Sprintf("sudo ufw allow %d/tcp", port)
	case IPTables:
		program, with := "iptables", ""
		if six {
			program = "ip6tables"
		}
		if len(peers) > 0 {
			with = map[bool]string{false: " -s ", true: " -d "}[f.Leaves] + strings.Join(addresses, ",")
		}
		return fmt.Sprintf("sudo %s -I %s -p tcp%s --dport %d -j ACCEPT, and keep it as you keep your rules", program, f.Chain, with, port)
	}
	with := ""
	if len(peers) > 0 {
		family, address := "ip", "saddr"
		if six {
			family = "ip6"
		}
		if f.Leaves {
			address = "daddr"
		}
		with = fmt.Sprintf("%s %s '{ %s }' ", family, address, strings.Join(addresses, ", "))
	}
	return fmt.Sprintf("sudo nft insert rule %s %s %s %stcp dport %d accept, and put the same rule before the others in /etc/nftables.conf", f.Family, f.Table, f.Chain, with, port)
}

// String is what was found, in words.
func (f Finding) String() string {
	where := fmt.Sprintf("%s (%s %s %s)", f.Keeper, f.Family, f.Table, f.Chain)
	switch f.Verdict {
	case Blocked:
		return where + " blocks them"
	case Depends:
		return where + " has conditions, such as an interface, that can't be followed beforehand"
	}
	return "passes"
}
