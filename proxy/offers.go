package proxy

import (
	"context"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream/ktls"
	"github.com/virt-sluice/sluice/stream/relay"
)

// askBare asks libvirtd of a peer that has no sluice for its version.
func (d *Daemon) askBare(ctx context.Context, name string) (string, error) {
	v, err := d.connectFar(ctx, d.peers[name])
	if err != nil {
		return "", err
	}
	defer v.Close()
	all, err := v.Versions(ctx)
	return all.Libvirt, err
}

// offers is what this sluice can do, for p.
func (d *Daemon) offers(p *peer, v virt.Versions) *control.Offers {
	o := &control.Offers{
		Sluice: d.version, Protocol: alpn, Libvirt: v.Libvirt, QEMU: v.QEMU,
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
