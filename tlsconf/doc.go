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
//	conn, peer, err := tlsconf.Connect(ctx, relay.TLS{}, raw, tlsconf.Client{
//		Credentials: store.Current(), Policy: policy, Name: "host-b", Expect: expect,
//		Protocols: []string{"sluice/1"},
//	})
//
// A peer is known by the names in its certificate and by nothing else: the
// address that was dialled is never compared with anything. A chain to the CA
// is necessary and not sufficient: somebody must have listed the name.
//
// Connect and Accept are the only way to a connection, and a connection is what they give once all
// has been checked. Where a client is to be told why it is refused, its connection comes with the
// error, as a Refusal.
//
// The package writes no file, asks nothing of the network, and opens no
// connection. The handshake itself is crypto/tls's, run by an Engine.
package tlsconf
