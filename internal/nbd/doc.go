// Package nbd is the start of NBD, the protocol of QEMU's disks, as far as the point where the
// peers begin TLS (the NBD project's doc/proto.md, "Newstyle negotiation").
//
//	flags, err := nbd.GreetClient(ctx, client, true)   // it asks for TLS
//	err = nbd.GreetServer(ctx, server, flags, false)   // without TLS
//
// What comes after it, options and data, passes between the two unread.
package nbd
