// Package rules keeps sluice's table in the kernel's packet filter (nftables), by which connections
// that QEMU makes to other hosts' migration ports come to this host's sluice instead, and those
// that come in from other hosts are refused:
//
//	t, err := rules.Wanted{…}.Resolve(ctx)
//	changed, err := rules.Up(t)
//
// The table is of family inet and named sluice. Nothing outside of it is looked at or changed, and
// no program is run. All of it wants CAP_NET_ADMIN in the network namespace that it is called in.
//
// Only a connection's first packet is matched. Connections that are there
// already go on as they are; and a reply to a port of the range, which the
// kernel may have given to any connection of this host's own, is none.
//
// What the package does not do: accept connections, or carry them (package intercept).
package rules
