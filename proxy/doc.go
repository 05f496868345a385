// Package proxy is the daemon: what one host's sluice does between its libvirtd, its QEMUs, its
// peers and its users.
//
//	d, err := proxy.New(proxy.Options{Config: cfg, Log: log, Version: version})
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
// The two daemons run libvirt's migration protocol between them, each with its own libvirtd alone.
// libvirt's peer-to-peer mode would do the same with one call, but resumes the guest at the source
// whenever the answer to Finish is lost, and then the guest may run twice (libvirt says so in
// qemuMigrationSrcPerformPeer2Peer3). Here the source asks again, and leaves the guest paused if no
// one can tell. It also means that a peer calls no libvirt procedure: it sends a guest's
// description and cookies, and this host chooses every URI and path.
//
// The package itself opens the sockets, and hands each connection and session to its part:
//
//	control.sock                    `sluice migrate` to package migration; status and checks
//	the port, a peer's session      for a migration to arrival, for libvirt's calls to gateway, for
//	                                an intercepted connection to intercept
//	the port, a libvirt client      gateway, as those of peers/NAME/libvirt.sock
//	redirected connections of QEMU  intercept
//	[[tunnel]]                      tunnel
//
// It also answers peers' questions, serves metrics and ends everything in order. It carries no
// bytes and makes none of libvirt's calls. docs/design.md has the map of the parts. Command line
// and configuration are cmd/sluice's and internal/config's.
package proxy
