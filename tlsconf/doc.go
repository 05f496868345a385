// Package tlsconf makes TLS settings out of what a host's administrator has
// set already: certificate files where libvirt, QEMU or CloudStack keep them,
// revocation lists, GnuTLS priority strings, and the names that peers may have.
//
//	sys, err := tlsconf.LoadSystem(tlsconf.SystemFile(os.Getenv, ""))
//	policy, err := tlsconf.ParsePriority(sys.DefaultPriority(), sys)
//	store, err := tlsconf.NewStore(tlsconf.StoreConfig{}) // finds the files, loads and checks them
//	go store.Run(ctx)                                     // follows them
//
//	expect, err := tlsconf.ParseRules([]string{"host-b.example.org"})
//	cfg := store.Current().Client(expect, tlsconf.Options{Policy: policy, NextProtos: []string{"sluice/1"}})
//	conn := tlsconf.Client(raw, cfg)
//	if err := conn.HandshakeContext(ctx); err != nil {
//		return policy.Explain(err, "host-b")
//	}
//	err = policy.Finish(conn.ConnectionState())
//
// A peer is known by the names in its certificate and by nothing else: the
// address that was dialled is never compared with anything. A chain to the CA
// is necessary and not sufficient: somebody must have listed the name. A server's
// configuration leaves that last step to its caller, who can refuse in words.
//
// The package writes no file, asks nothing of the network, and opens no
// connection. It does not run handshakes; crypto/tls does, with the
// configurations made here, over a connection that has passed Gate.
package tlsconf
