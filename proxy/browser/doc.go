// Package browser is who looks at the daemon's page: its listeners' connections, each with whose it
// is. On this host that is a user, by the kernel's word; from other hosts it is the holder of a
// certificate, which is shown in a handshake. It serves no page.
//
//	l := browser.Local(socket, host)           // a unix socket, or a port on loopback
//	l := browser.Remote(ctx, socket, host)     // any other port
//	server.Serve(l)                            // whose connections are *Conn
//
// Each user, and each certificate, has a share of the connections, and those who may not look have a
// small one together: they are served so that they can be told why.
package browser
