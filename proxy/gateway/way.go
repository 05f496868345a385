package gateway

import (
	"fmt"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/direct"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
)

// way is how the data of a guest that comes reaches this host. It is decided once, when its Prepare
// passes.
type way int

const (
	// bySession: the peer's sluice has opened a session for it.
	bySession way = iota
	// byLead: the source's sluice has been asked to open one.
	byLead
	// byRendezvous: the source's sluice will open one, and learns by the reply which.
	byRendezvous
	// byInterception: QEMU connects by itself, to ports to which the kernel leads sluice alone.
	byInterception
	// byQEMUTLS: QEMU at a host without a sluice connects by its own TLS, which ends in sluice.
	byQEMUTLS
	// byItself: libvirt and QEMU here take it in: through libvirt's tunnel, by QEMU's own TLS, in
	// clear where that is allowed; or there is none.
	byItself
)

// wayOf decides, and says in t what secures the data. named: the call names a
// session. led: the sluice of the caller's host is there to lead the data. refusal is not nil where
// there is no way.
func (g *destinationFilter) wayOf(c *libvirtrpc.Call, params libvirtrpc.Params, t *transfer.Transfer, named, led bool) (w way, refusal *libvirtrpc.Outcome) {
	refuse := func(o libvirtrpc.Outcome) (way, *libvirtrpc.Outcome) { return 0, &o }
	switch {
	case named && g.peer == nil:
		return refuse(g.denied(c, "sessions are for peers"))
	case g.access != config.AccessFull && usesPath(params): // whoever encrypts what goes there
		return refuse(g.denied(c, "unix sockets of migrations are made where %s chooses: leave out --migrateuri and --disks-uri", g.gateway.Config.Name))
	case named:
		g.intercepted(params, t)
		return bySession, g.inClear(t)
	case led && (t.Steered || g.replaces(*t)):
		t.Steer()
		return byLead, nil
	case g.tlsPeer != nil && !led && !g.listed && g.tlsPeer.MayComeWithoutSluice():
		return g.wayWithoutSluice(c, params, t)
	case led && t.Flags&libvirt.MigrateTLS != 0 && t.Flags&libvirt.MigrateTunnelled == 0:
		t.By = session.ByQEMUThere
		return byQEMUTLS, nil
	case (t.Steered || t.Aim.Told && g.replaces(*t)) && t.Flags&libvirt.MigratePeer2peer == 0 && g.gateway.Config.Secure():
		t.Steer()
		return byRendezvous, nil
	}
	g.openPorts(t)
	if g.intercepted(params, t) {
		return byInterception, nil
	}
	return byItself, g.inClear(t)
}

// intercepted says whether the kernel leads to sluice what would go in clear: then it does not. It
// may go beside a session that the source's sluice has opened.
func (g *destinationFilter) intercepted(params libvirtrpc.Params, t *transfer.Transfer) bool {
	if t.InClear == "" || !g.gateway.coveredByInterception(params) {
		return false
	}
	t.By, t.InClear = session.ByInterception, ""
	return true
}

// openPorts says what happens to data for which nobody has chosen a way: libvirt opens a port to
// all.
func (g *destinationFilter) openPorts(t *transfer.Transfer) {
	if t.Steered {
		t.Steered, t.By, t.InClear = false, session.ByNothing, "memory by tcp:"
	}
}

// inClear refuses what would cross the network in clear, where this host requires security.
func (g *destinationFilter) inClear(t *transfer.Transfer) *libvirtrpc.Outcome {
	if t.InClear == "" || !g.gateway.Config.Secure() {
		return nil
	}
	o := g.insecure(*t)
	return &o
}

// wayWithoutSluice decides for a peer that comes without its sluice. Its libvirt runs the
// migration, with libvirt's own safety and no more, and its QEMU connects to this host by itself.
func (g *destinationFilter) wayWithoutSluice(c *libvirtrpc.Call, params libvirtrpc.Params, t *transfer.Transfer) (way, *libvirtrpc.Outcome) {
	p := g.tlsPeer
	refuse := func(format string, args ...any) (way, *libvirtrpc.Outcome) {
		words := fmt.Sprintf("sluice on %s: %s has no sluice: ", g.gateway.Config.Name, p.Name) + fmt.Sprintf(format, args...)
		g.log.Warn().Str("caller", g.who).Str("cause", words).Msg("migration refused")
		o := outcomeErr(libvirtrpc.ErrOperationInvalid, "%s", words)
		return 0, &o
	}
	_, closed := direct.ClosedPorts(g.gateway.Config.Intercept)
	switch {
	case usesPath(params):
		o := g.denied(c, "unix sockets of migrations are made where %s chooses: leave out --migrateuri and --disks-uri", g.gateway.Config.Name)
		return 0, &o
	case t.Flags&libvirt.MigrateTLS != 0 && t.Flags&libvirt.MigrateTunnelled == 0:
		t.By = session.ByQEMUThere
		return byQEMUTLS, nil
	case t.By == session.ByTunnel || t.By == "":
		return byItself, nil
	case p.Conf.WithoutSluice != config.WithoutPlain:
		return refuse("the guest's memory would go in clear, and peers.%s.without_sluice on %s allows QEMU's own TLS alone: add --tls (or --tunnelled)", p.Conf.Table(), g.gateway.Config.Name)
	case p.SluiceSeen.Load():
		return refuse("the guest's memory would come in clear, and %s: add --tls (or --tunnelled), or %s", p.SeenText(), g.gateway.Peers.RestartHint(p))
	case closed != 0:
		return refuse("its QEMU would connect to a port that `sluice intercept` has closed here: add --tls (or --tunnelled), or `sluice intercept down` on %s", g.gateway.Config.Name)
	}
	t.By = session.ByNothing
	return byItself, nil
}

// usesPath says whether libvirt would make a socket at a path of the caller's.
func usesPath(params libvirtrpc.Params) bool {
	for _, field := range []string{libvirtrpc.ParamURI, libvirtrpc.ParamDisksURI} {
		if uri, _, _ := params.Text(field); strings.HasPrefix(strings.ToLower(uri), "unix:") {
			return true
		}
	}
	return false
}
