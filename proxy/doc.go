// Package proxy is the daemon: what one host's sluice does between its
// libvirtd, its QEMUs, its peers and its users.
//
//	d, err := proxy.New(proxy.Options{Config: cfg, Log: log})
//	err = d.Run(ctx, drain)
//
// Where a migration's bytes go, from the left host to the right:
//
//	QEMU ─ sessions/ID/memory.sock ─ sluice ══ TLS ══ sluice ─ sessions/ID/memory.sock ─ QEMU
//	QEMU ─ sessions/ID/disk.sock ─── sluice ══ TLS ══ sluice ─ sessions/ID/disk.sock ─── QEMU (NBD)
//
// and who speaks with whom about it:
//
//	caller ─ control.sock ─ sluice ══ control channel ══ sluice
//	                          │ Begin, Perform, Confirm    │ Prepare, Finish
//	                       libvirtd                     libvirtd
//
// The two daemons run libvirt's migration protocol between them, each with its
// own libvirtd alone. libvirt's peer-to-peer mode would do the same with one
// call, but resumes the guest at the source whenever the answer to Finish is
// lost, and it may then run twice (libvirt says so in
// qemuMigrationSrcPerformPeer2Peer3). Here the source asks again, and leaves
// the guest paused where no one can tell. It also means that a peer calls no
// libvirt procedure: it sends a guest's description and cookies, and this host
// chooses every URI and path.
//
// A libvirt client can run a migration too, through peers/NAME/libvirt.sock:
//
//	libvirtd ─ libvirt.sock ─ guide ══ libvirt channel ══ guard ─ libvirtd
//
// The guide, at the client's host, reads the calls as they pass. For each
// Prepare it opens a session beside the connection's own, for the guest's data
// (steering, and steered at the destination), and names it to the guard in a
// parameter of the call. The guard puts this host's socket into the call, the
// guide its own into the reply. The guard also enforces what a peer may call,
// on peers' connections as on those of clients without a sluice (stranger),
// who come by qemu+tls://HOST/system. A client that speaks with both hosts'
// libvirt so has its guest's data led from the one to the other all the same
// (meet).
//
// And QEMU's own connections to other hosts may be led here by the kernel
// (package intercept): interception carries each in a session of its own, and
// landing connects it to the QEMU that waits at the other host.
//
// A peer without a sluice has its libvirtd called from here instead (bare), and
// comes as a stranger whose QEMU's TLS ends here (nativeEnd).
//
// What the package does not do: parse the command line or the configuration
// (cmd/sluice, internal/config), carry bytes (stream), or judge certificates
// (tlsconf).
package proxy
