package firewall

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

const port = 16514

// Rule sets as people and programs write them, and what becomes of a connection from the host at the
// other end of the link. nft's, but those that begin with *, which are iptables-restore's.
var rulesets = []struct {
	name  string
	text  string
	came  Verdict // by IPv4
	came6 Verdict
	left  Verdict // by IPv4
	by    string
}{
	{name: "none"},
	{name: "a policy alone", came: Blocked, came6: Blocked, by: "inet filter input",
		text: `table inet filter { chain input { type filter hook input priority filter; policy drop; ct state established,related accept; iif lo accept; tcp dport 22 accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }; }`},
	{name: "Debian's example", came: Blocked, came6: Blocked, by: "inet filter input",
		text: `table inet filter { chain input { type filter hook input priority 0; iif lo accept; ct state vmap { established: accept, related: accept, invalid: drop }; ip6 nexthdr icmpv6 accept; tcp dport { 22, 80-90, 443 } accept; counter reject; }; }`},
	{name: "the port, in a set", came: Passes, came6: Passes,
		text: `table inet filter { set open { type inet_service; flags interval; elements = { 22, 16000-17000 }; }; chain input { type filter hook input priority filter; policy drop; ct state established accept; meta l4proto icmpv6 accept; tcp dport @open accept; }; }`},
	{name: "a map to chains", came: Passes, came6: Blocked, by: "inet filter input",
		text: `table inet filter { chain four { tcp dport != 16514 drop; ct state new accept; }; chain six { return; }; chain input { type filter hook input priority filter; policy drop; ct state established accept; meta l4proto icmpv6 accept; meta nfproto vmap { ipv4: jump four, ipv6: goto six }; accept; }; }`},
	{name: "a map with a verdict for all others", came: Passes, came6: Passes,
		text: `table inet filter { chain input { type filter hook input priority filter; policy drop; ct state established accept; meta l4proto icmpv6 accept; tcp dport vmap { 16514: accept, *: drop }; }; }`},
	{name: "a map that can't be followed", came: Depends, came6: Depends, by: "inet filter input",
		text: `table inet filter { chain input { type filter hook input priority filter; policy drop; ct state established accept; meta l4proto icmpv6 accept; iifname vmap { "lo": accept, "eth0": drop, "here": accept }; drop; }; }`},
	{name: "the peer alone", came: Passes, came6: Blocked, by: "inet filter input",
		text: `table inet filter { chain input { type filter hook input priority filter; policy drop; ct state established accept; meta l4proto icmpv6 accept; ip saddr { 192.0.2.0/28, 198.51.100.7 } tcp dport 16514 accept; ip6 saddr fd5c:1ab:1::/48 accept; }; }`},
	{name: "another peer", came: Blocked, came6: Passes, by: "ip filter input",
		text: `table ip filter { chain input { type filter hook input priority filter; policy drop; ct state established accept; ip saddr 192.0.2.3 tcp dport 16000-17000 accept; }; }`},
	{name: "two tables", came: Blocked, came6: Blocked, by: "inet late input",
		text: `table inet early { chain input { type filter hook input priority -5; tcp dport 16514 accept; }; }
table inet late { chain input { type filter hook input priority 5; tcp flags & (syn | ack) == syn tcp dport >= 1024 drop; }; }`},
	{name: "raw", came: Blocked, came6: Passes, by: "ip raw prerouting",
		text: `table ip raw { chain prerouting { type filter hook prerouting priority raw; fib saddr . iif oif 0 drop; fib daddr type local tcp dport 16514 drop; }; }`},
	{name: "what leaves", left: Blocked, by: "inet filter output",
		text: `table inet filter { chain output { type filter hook output priority filter; policy drop; oif lo accept; ct state established accept; meta l4proto icmpv6 accept; ip6 daddr fd5c:1ab::/64 accept; ip daddr 192.0.2.2 tcp dport 22 accept; }; }`},
	{name: "an interface", came: Depends, came6: Depends, by: "inet filter input",
		text: `table inet filter { chain input { type filter hook input priority filter; policy drop; ct state established accept; meta l4proto icmpv6 accept; iifname "here" accept; }; }`},
	{name: "a limit", came: Depends, came6: Depends, by: "inet filter input",
		text: `table inet filter { chain input { type filter hook input priority filter; policy drop; ct state established accept; meta l4proto icmpv6 accept; tcp dport 16514 limit rate 100/second accept; }; }`},
	{name: "what is not read", came: Depends, came6: Depends, by: "inet filter input",
		text: `table inet filter { chain input { type filter hook input priority filter; policy drop; ct state established accept; meta l4proto icmpv6 accept; tcp dport 16514 rt classid != 77 accept; }; }`},
	{name: "firewalld", came: Blocked, came6: Blocked, by: "inet firewalld filter_INPUT",
		text: `table inet firewalld {
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		ct state invalid drop
		jump filter_INPUT_ZONES
		reject with icmpx admin-prohibited
	}
	chain filter_INPUT_ZONES {
		iifname "eth0" goto filter_IN_public
		goto filter_IN_public
	}
	chain filter_IN_public {
		jump filter_IN_public_allow
		meta l4proto { icmp, ipv6-icmp } accept
	}
	chain filter_IN_public_allow {
		tcp dport 22 accept
		ip6 daddr fe80::/64 udp dport 546 accept
	}
}`},
	{name: "iptables", came: Blocked, by: "ip filter INPUT",
		text: "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n" +
			"-A INPUT -p tcp -m multiport --dports 22,8000:9000 -j ACCEPT\n-A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 22 -m comment --comment ssh -j ACCEPT\nCOMMIT\n"},
	{name: "iptables, with the port", came: Passes,
		text: "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -m state --state ESTABLISHED -j ACCEPT\n-A INPUT ! -s 192.0.2.0/25 -j DROP\n" +
			"-A INPUT -p tcp -m multiport --dports 22,16514:16515 -m state --state NEW -j ACCEPT\n-A INPUT -p tcp -j REJECT --reject-with tcp-reset\nCOMMIT\n"},
	{name: "ufw", came: Blocked, by: "ip filter INPUT",
		text: "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:ufw-before-input - [0:0]\n:ufw-user-input - [0:0]\n:ufw-not-local - [0:0]\n:ufw-after-input - [0:0]\n" +
			"-A INPUT -j ufw-before-input\n-A INPUT -j ufw-after-input\n-A ufw-before-input -i lo -j ACCEPT\n-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n" +
			"-A ufw-before-input -m conntrack --ctstate INVALID -j DROP\n-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT\n-A ufw-before-input -j ufw-not-local\n" +
			"-A ufw-before-input -d 224.0.0.251/32 -p udp --dport 5353 -j ACCEPT\n-A ufw-before-input -j ufw-user-input\n-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN\n" +
			"-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN\n-A ufw-not-local -j DROP\n-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n" +
			"-A ufw-after-input -p udp -m udp --dport 137 -j RETURN\nCOMMIT\n"},
}

// What is judged of real rules is what becomes of real connections.
func TestJudge(t *testing.T) {
	needs.Program(t, "iptables-nft-restore")
	for _, c := range rulesets {
		t.Run(c.name, func(t *testing.T) {
			needs.Network(t)
			there := needs.Link(t)
			if strings.HasPrefix(c.text, "*") {
				needs.Run(t, c.text, "iptables-nft-restore")
			} else {
				needs.Run(t, c.text, "nft", "-f", "-")
			}
			rules, err := Read()
			if err != nil {
				t.Fatal(err)
			}
			here := func(f func()) { f() }
			for _, way := range []struct {
				what           string
				from, to       string
				leaves         bool
				want           Verdict
				connects, hear func(func())
			}{
				{"from the peer by IPv4", needs.There4, needs.Here4, false, c.came, there, here},
				{"from the peer by IPv6", needs.There6, needs.Here6, false, c.came6, there, here},
				{"to the peer by IPv4", needs.Here4, needs.There4, true, c.left, here, there},
			} {
				peer := way.from
				if way.leaves {
					peer = way.to
				}
				found := rules.Judge(Connection{Peer: netip.MustParseAddr(peer), Port: port, Leaves: way.leaves})
				if found.Verdict != way.want {
					t.Errorf("%s: verdict %d, want %d", way.what, found.Verdict, way.want)
				}
				if by := found.Family + " " + found.Table + " " + found.Chain; way.want != Passes && by != c.by {
					t.Errorf("%s: by %s, want %s", way.what, by, c.by)
				}
				var l net.Listener
				way.hear(func() { l, err = net.Listen("tcp", fmt.Sprintf("[::]:%d", port)) })
				if err != nil {
					t.Fatal(err)
				}
				patience := 10 * time.Second
				if way.want == Blocked {
					patience = 300 * time.Millisecond // for what must not come
				}
				way.connects(func() { err = connect(way.to, patience) })
				l.Close()
				if way.want != Depends && (err == nil) != (way.want == Passes) {
					t.Errorf("%s: verdict %d, and a connection ends with %v", way.what, way.want, err)
				}
			}
		})
	}
}

// connect connects on the calling thread, in whose network it is.
func connect(to string, patience time.Duration) error {
	d := net.Dialer{Timeout: patience, FallbackDelay: -1}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(to, fmt.Sprint(port)))
	if err == nil {
		c.Close()
	}
	return err
}

// Nothing is made up: rules that can't be read are an error.
func TestUnprivileged(t *testing.T) {
	line, end := needs.Again(t, 65534, "FIREWALL=read")
	defer end()
	if !strings.Contains(line, "operation not permitted") {
		t.Errorf("without privileges: %q", line)
	}
}
