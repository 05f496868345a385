// Package check finds out, before a migration does, what would keep one from
// working, and says it in words: on this host, and between it and its peers.
//
//	h := &check.Host{Config: cfg, Credentials: creds, Policies: policies, ...}
//	report := h.Run(ctx, &control.CheckRequest{All: true})
//
// A peer is checked in steps: its name resolves, its port answers, the TLS
// handshake comes about with the certificate that is expected, and the sluice
// at the other end lets this one in and says what it sees on its side. A step
// that fails ends the check of that peer with one finding that says why.
//
// The package changes nothing, on either host. Whose daemon's view it is, and
// how a peer's question is answered, is package proxy's.
package check
