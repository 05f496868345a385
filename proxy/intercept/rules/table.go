package rules

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Table is what sluice has in the kernel.
type Table struct {
	Port        uint16  // of this host's sluice, on loopback
	First, Last uint16  // the migration ports
	Routes      []Route // by peer and address, none twice
	PeersAlone  bool    // nothing goes from here to the ports of hosts that are no peers
}

// Route is an address at which a peer's QEMUs are reached.
type Route struct {
	Peer string // its configured name
	Addr netip.Addr
}

// Peer is whose address a is, by the table; empty: nobody's.
func (t *Table) Peer(a netip.Addr) string {
	for _, r := range t.Routes {
		if r.Addr == a {
			return r.Peer
		}
	}
	return ""
}

// Equal says whether both are the same. Without a route the port is in no rule.
func (t *Table) Equal(o *Table) bool {
	return (t.Port == o.Port || len(t.Routes) == 0) && t.First == o.First && t.Last == o.Last && t.PeersAlone == o.PeersAlone && slices.Equal(t.Routes, o.Routes)
}

// Has says whether the range has the port.
func (t *Table) Has(port uint16) bool { return t.First <= port && port <= t.Last }

func (t *Table) sort() {
	slices.SortFunc(t.Routes, func(a, b Route) int {
		return cmp.Or(strings.Compare(a.Peer, b.Peer), a.Addr.Compare(b.Addr))
	})
	t.Routes = slices.Compact(t.Routes)
}

// String is the table in nft's own words: what `nft -s list table inet sluice`
// prints, and what `nft -f` takes.
func (t *Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", tableName)
	for i, c := range t.chains() {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype %s hook %s priority %s; policy accept;\n", c.name, c.kind, c.hook, c.priority)
		for _, r := range c.rules {
			fmt.Fprintf(&b, "\t\t%s\n", r)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

const tableName = "sluice"

// chain is a chain of the table, in nft's words.
type chain struct {
	name, kind, hook, priority string
	rules                      []rule
}

// chains are the whole table:
//
//   - outgoing leads connections to peers' migration ports to sluice on this
//     host. Where nobody listens there, the kernel refuses them.
//   - escaping refuses what was not led there, whatever the reason: another
//     table may have exempted it from address translation. With PeersAlone it
//     also refuses what goes to any other host.
//   - incoming refuses what comes from elsewhere to migration ports here.
func (t *Table) chains() []chain {
	all := []chain{
		{name: "outgoing", kind: "nat", hook: "output", priority: "-100"},
		{name: "escaping", kind: "filter", hook: "output", priority: "filter"},
		{name: "incoming", kind: "filter", hook: "input", priority: "filter", rules: []rule{{t: t}}},
	}
	for _, r := range t.Routes {
		all[0].rules = append(all[0].rules, rule{t: t, to: r, redirects: true})
		all[1].rules = append(all[1].rules, rule{t: t, to: r})
	}
	if t.PeersAlone {
		all[1].rules = append(all[1].rules, rule{t: t, leaves: true})
	}
	return all
}

// rule is about the first packet of each TCP connection to the table's ports,
// which it counts and then refuses, unless it redirects it.
type rule struct {
	t         *Table
	to        Route // none: from any other host
	leaves    bool  // to any other host, in place of from
	redirects bool
}

func (r rule) String() string {
	whose, what, comment := `iifname != "lo"`, "reject with tcp reset", ""
	if r.leaves {
		whose = `oifname != "lo"`
	}
	if r.to.Addr.IsValid() {
		whose, comment = "ip6 daddr ", fmt.Sprintf(" comment %q", r.to.Peer)
		if r.to.Addr.Is4() {
			whose = "ip daddr "
		}
		whose += r.to.Addr.String()
	}
	if r.redirects {
		what = fmt.Sprintf("redirect to :%d", r.t.Port)
	}
	ports := fmt.Sprint(r.t.First)
	if r.t.Last != r.t.First {
		ports = fmt.Sprintf("%d-%d", r.t.First, r.t.Last)
	}
	return fmt.Sprintf("%s tcp dport %s tcp flags syn / fin,syn,rst,ack counter %s%s", whose, ports, what, comment)
}
