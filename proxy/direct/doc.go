// Package direct is channels to a host without a sluice, where there is no session: QEMU's own TLS
// is begun or ended here, for QEMU here has no keys.
//
//	c := direct.NewChannels(ctx, peer, limits, failed)
//	remote, err := (&direct.RemoteQEMU{…}).Dial(ctx, stream.ChannelMemory, port, local)
//	err = c.Carry(stream.ChannelMemory, local, remote, nil)
//
// Migrations dial with it, and the gateway listens with it (TLSEnd). libvirt's calls with such a
// host are theirs.
package direct
