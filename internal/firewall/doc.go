// Package firewall says what this host's own packet filter (nftables, and with it iptables-nft,
// firewalld and ufw, whose rules are nftables' in the kernel) does with a TCP connection that is
// about to be made:
//
//	rules, err := firewall.Read()
//	found := rules.Judge(firewall.Connection{Port: 16514, Peer: addr})
//
// No packet is sent: the rules are followed with what is known of the connection's first packet. A
// condition on what is not known, such as an interface or a mark, is taken both ways, and if the end
// is not the same, the answer is Depends.
//
// What the package does not do: change a rule; read iptables-legacy's tables (Legacy tells of them),
// eBPF programs, chains of single devices and bridges, and address translation; and know of any
// filter between the hosts.
package firewall
