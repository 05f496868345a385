// Package libvirtrpc reads libvirt's remote protocol as it passes between a
// client and a daemon, and speaks as much of it as sluice needs itself.
//
//	c := libvirtrpc.Conversation{Client: a, Server: b, Rules: rules}
//	err := c.Run(ctx)
//
// A Conversation is a neighbour to each of its two sides, and no wire between them. Calls have
// serials of its own towards the daemon; each side's pings are answered here, at once and whatever
// the other side does; and when the daemon is lost, calls in flight are answered in words, or by
// whoever can tell what became of them (Outcome.Lost). So a client never takes a dead link for a
// migration that has failed.
//
// Packets that its Rules do not ask for pass as they come, however long they are; calls that they
// do ask for are read whole and handed over as a Call, which may be changed, refused or answered,
// and whose reply may be changed on its way back. Streams (tunnelled migrations, consoles, volumes)
// go by the serial of the call that began them.
//
// Formats: packets as in libvirt's src/rpc/virnetprotocol.x, calls as in
// src/remote/remote_protocol.x, XDR as in RFC 4506. Both ends of a connection
// are taken for hostile: lengths are checked before anything is allocated.
//
// What the package does not do: TLS, SASL, or deciding who may do what.
package libvirtrpc
