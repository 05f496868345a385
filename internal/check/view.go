package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/tlsconf"
)

// noSluice are what is found wrong with a peer where it may have no sluice at
// all; anything else is said by one, or of its certificate. The first three are
// also what a migration takes for a host without one.
var noSluice = []string{"port-closed", "libvirtd", "not-sluice", "port-filtered", "unreachable", string(tlsconf.CauseNotTLS), string(tlsconf.CauseClosed), string(tlsconf.CauseTimeout)}

// certain is how many of noSluice say that none is there.
const certain = 3

// view sums up what was found, once it was. Where no sluice was, it looks for libvirtd.
func (p *peerCheck) view(ctx context.Context) control.PeerView {
	v := control.PeerView{
		Name: p.name, Address: p.conf.Address, LibvirtURI: p.conf.LibvirtURI, WithoutSluice: p.conf.WithoutSluice,
		Found: control.PeerNothing, Way: control.WayNone, Offers: p.offers,
	}
	i := slices.IndexFunc(p.List, func(f control.Finding) bool { return f.Result == control.ResultError })
	if i >= 0 {
		v.Code, v.Text = p.List[i].Code, p.List[i].Text
	}
	if p.said != nil {
		v.Found, v.Libvirt = control.PeerSluice, p.said.Libvirt
		if i < 0 {
			v.Way, v.Text = control.WaySluice, fmt.Sprintf("sluice %s, libvirt %s", p.said.Version, p.said.Libvirt)
		}
		return v
	}
	at := slices.Index(noSluice, v.Code)
	if at < 0 || p.host.Peers == nil {
		return v
	}
	ctx, cancel := p.step(ctx)
	defer cancel()
	version, err := p.host.Peers.LibvirtVersion(ctx, p.name)
	if err != nil {
		v.Text += fmt.Sprintf("; libvirtd: %v", err)
		if p.conf.WithoutSluice != config.WithoutNo {
			p.Fail("libvirtd", "no-libvirtd", "start libvirtd there with listen_tls, or set peers."+p.name+".libvirt_uri", "%v", err)
		}
		return v
	}
	v.Found, v.Libvirt = control.PeerLibvirt, version
	v.Text = fmt.Sprintf("no sluice, libvirt %s at %s", version, p.conf.LibvirtURI)
	switch {
	case p.conf.WithoutSluice == config.WithoutNo:
		v.Text += fmt.Sprintf("; peers.%s.without_sluice does not allow that", p.conf.Table())
		p.Warn("libvirtd", "without-sluice", fmt.Sprintf("peers.%s.without_sluice = %q allows it", p.conf.Table(), config.WithoutNativeTLS), "%s has libvirt %s at %s, and no sluice: no guest can go there or come from there", p.name, version, p.conf.LibvirtURI)
	case p.conf.WithoutSluice == config.WithoutPlain && p.host.Peers.Get(p.name).SluiceSeen.Load():
		v.Text += "; a sluice there has spoken with this one, so nothing goes or comes in clear"
		p.Warn("libvirtd", "without-sluice", "start sluice there; or migrate with --tls yes; or, if it was removed for good, restart sluice on this host", "%s has libvirt %s at %s, and had a sluice: nothing can go there or come from there in clear", p.name, version, p.conf.LibvirtURI)
	case at >= certain:
		p.Warn("libvirtd", "without-sluice", "have the port of sluice refuse connections rather than drop them", "%s has libvirt %s at %s; it is not certain that it has no sluice, so no guest can go there", p.name, version, p.conf.LibvirtURI)
	default:
		v.Way, v.Code = p.conf.WithoutSluice, ""
		how := "by QEMU's own TLS"
		if v.Way == config.WithoutPlain {
			how = "in clear"
		}
		p.List[i].Result = control.ResultWarning
		p.Warn("libvirtd", "without-sluice", "install sluice there", "%s has libvirt %s at %s, and no sluice: guests go there %s (peers.%s.without_sluice)", p.name, version, p.conf.LibvirtURI, how, p.conf.Table())
	}
	return v
}

// offered says what the peer's sluice can do.
func (p *peerCheck) offered(o *control.Offers) {
	if o == nil {
		p.OK("offers", "it does not say what it can do, being older than this one")
		return
	}
	faults(p.Findings, p.name, virt.Versions{Libvirt: o.Libvirt, QEMU: o.QEMU})
	native := "none"
	if o.NativeTLS.Ready {
		native = "ready"
	}
	p.OK("offers", "%s, QEMU %s, paths %v, tls %s, require_secure %t, interception %s, QEMU's own TLS %s (%s); this host without a sluice: %s",
		o.Protocol, o.QEMU, o.Paths, o.TLS, o.RequireSecure, o.Interception, native, o.NativeTLS.Text, o.WithoutSluice)
}
