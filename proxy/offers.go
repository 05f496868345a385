package proxy

import (
	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/intercept"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream/relay"
)

// offers is what this sluice can do, for p.
func (d *Daemon) offers(on *parts, p *peer.Peer, v virt.Versions) *control.Offers {
	o := &control.Offers{
		Sluice: d.version, Protocol: peer.ALPN, Libvirt: v.Libvirt, QEMU: v.QEMU,
		Priority: on.Peers.Policy(p).Source, TLS: on.TLSDefault(p), RequireSecure: on.Config.Secure(),
		Access: p.Access(), WithoutSluice: p.Conf.WithoutSluice, Interception: "none", NativeTLS: check.Native(),
	}
	if on.Peers.KernelTLS() {
		o.Paths = append(o.Paths, string(relay.KTLS))
	}
	o.Paths = append(o.Paths, string(relay.Records), string(relay.CryptoTLS))
	if st := intercept.Status(on.Config.Intercept); st != nil {
		o.Interception = "off"
		if st.Problem == "" {
			o.Interception = "on"
		}
	}
	return o
}
