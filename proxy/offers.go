package proxy

import (
	"context"
	"fmt"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/stream/ktls"
	"github.com/virt-sluice/sluice/stream/relay"
)

// versions are those of a host's programs.
type versions struct{ libvirt, qemu string }

// askVersions asks libvirt for them, within ctx.
func askVersions(ctx context.Context, connect func() (*virt, error)) (all versions, err error) {
	v, err := connect()
	if err != nil {
		return all, err
	}
	defer v.close()
	err = v.bound(ctx, func() error {
		n, err := v.ConnectGetLibVersion()
		if err != nil {
			return err
		}
		all.libvirt = version(n)
		if n, err := v.ConnectGetVersion(); err == nil { // none where it has no QEMU
			all.qemu = version(n)
		}
		return nil
	})
	return all, err
}

// version is one as libvirt writes it: 1,000,000 for each major one.
func version(n uint64) string {
	return fmt.Sprintf("%d.%d.%d", n/1_000_000, n/1000%1000, n%1000)
}

// askBare asks libvirtd of a peer that has no sluice for its version.
func (d *Daemon) askBare(ctx context.Context, name string) (string, error) {
	all, err := askVersions(ctx, func() (*virt, error) { return d.connectFar(ctx, d.peers[name]) })
	return all.libvirt, err
}

// offers is what this sluice can do, for p.
func (d *Daemon) offers(p *peer, v versions) *control.Offers {
	o := &control.Offers{
		Sluice: d.version, Protocol: alpn, Libvirt: v.libvirt, QEMU: v.qemu,
		Priority: d.certs.with(p).Source, TLS: d.tlsDefault(p), RequireSecure: d.requireSecure(),
		Access: p.access(), WithoutSluice: p.conf.WithoutSluice, Interception: "none", NativeTLS: check.Native(),
	}
	if d.kernelTLS() {
		o.Paths = append(o.Paths, string(relay.KTLS))
	}
	o.Paths = append(o.Paths, string(relay.Records), string(relay.CryptoTLS))
	if st := d.interceptStatus(); st != nil {
		o.Interception = "off"
		if st.Problem == "" {
			o.Interception = "on"
		}
	}
	return o
}

// kernelTLS says whether channels may go by the kernel's TLS, in one direction
// at least.
func (d *Daemon) kernelTLS() bool {
	k := d.tls().Kernel
	for _, suite := range ktls.Suites {
		s := ktls.Test(suite)
		if s.Rekey == nil && (s.Send == nil && !k.NotSend || s.Receive == nil && !k.NotReceive) {
			return true
		}
	}
	return false
}
