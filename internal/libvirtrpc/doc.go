// Package libvirtrpc reads libvirt's remote protocol as it passes between a
// client and a daemon, and speaks as much of it as sluice needs itself.
//
//	c := libvirtrpc.Conversation{Client: a, Server: b, Rules: rules}
//	err := c.Run(ctx)
//
// A Conversation looks at the head of every packet. Those that its Rules do
// not ask for pass byte for byte as they come, however long they are; those
// that they do ask for are read whole and handed over as a Call, which may be
// changed, refused or answered, and whose reply may be changed on its way
// back.
//
// Formats: packets as in libvirt's src/rpc/virnetprotocol.x, calls as in
// src/remote/remote_protocol.x, XDR as in RFC 4506. Both ends of a connection
// are taken for hostile: lengths are checked before anything is allocated.
//
// What the package does not do: TLS, SASL, or deciding who may do what.
package libvirtrpc
