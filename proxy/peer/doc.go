// Package peer is who is at the other end: the sluices of other hosts, libvirt clients without one,
// and hosts that have none. It dials and admits connections, finds out by certificate whose they
// are, says in words why one is refused, and keeps the certificates and policies in use.
//
//	peers, err := peer.New(cfg, log)
//	conn, err := peers.Dial(ctx, peers.All["host-b"], "")
//	caller, err := peers.Admit(ctx, raw, refuse)
//
// Everything that connects to another host does it here; the daemon's listener passes on who has
// come. What is said over a connection is not this package's: sessions are stream's, libvirt's
// protocol is the gateway's. All checks of a handshake are tlsconf's.
package peer
