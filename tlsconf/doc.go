// Package tlsconf makes TLS settings out of what a host's administrator has
// set already: certificate files where libvirt, QEMU or CloudStack keep them,
// revocation lists, GnuTLS priority strings, and the names that peers may have.
//
//	found, err := tlsconf.Find(tlsconf.Search{})     // which files, and why these
//	creds, err := tlsconf.Load(found)                // parsed and checked, an immutable snapshot
//	expect, err := tlsconf.ParseRules([]string{"host-b.example.org"})
//	conn := tls.Client(raw, creds.Client(expect, tlsconf.Options{NextProtos: []string{"sluice/1"}}))
//	if err := conn.HandshakeContext(ctx); err != nil {
//		return tlsconf.Explain(err, "host-b")
//	}
//
// A peer is known by the names in its certificate and by nothing else: the
// address that was dialled is never compared with anything. A chain to the CA
// is necessary and not sufficient: somebody must have listed the name.
//
// The package writes no file, asks nothing of the network, and opens no
// connection. It does not run handshakes; crypto/tls does, with the
// configurations made here.
package tlsconf
