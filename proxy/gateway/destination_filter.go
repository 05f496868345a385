package gateway

import (
	"context"
	"fmt"
	"sync"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// destinationFilter stands before this host's libvirt: it lets a caller from another host call what
// its access allows, refuses what would put a guest on the network in clear, and chooses where this
// host takes in the data of migrations. It trusts no other sluice to have done so.
type destinationFilter struct {
	gateway *Gateway
	peer    *peer.Peer // nil for a caller that is no sluice
	tlsPeer *peer.Peer // whose certificate a caller that is no sluice has; nil if it is no peer's
	listed  bool       // it is one of [clients], which may come without that peer's sluice
	access  string
	memory  *stream.Memory // holds its calls
	calls   []*libvirtrpc.Budget
	name    string // the caller's, in the configuration
	address string // the caller's
	local   string // this end of a caller's that is no sluice
	who     string // for the log
	asked   *control.Asker
	log     zerolog.Logger

	mu     sync.Mutex
	coming map[string]*preparedGuest // by the guest's name here
	going  map[string]*steeredSource // guests that the caller takes, by UUID
	begun  begunMigrations
	cut    func(error)
}

// serve serves one caller's connection to its end, and closes both ends.
func (g *destinationFilter) serve(ctx context.Context, caller, server libvirtrpc.Conn, failing func(error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g.cut, g.coming = func(err error) { cancel(err) }, make(map[string]*preparedGuest)
	g.going = make(map[string]*steeredSource)
	unwatched := libvirtrpc.NoSide
	if g.peer != nil { // its session watches it
		unwatched = libvirtrpc.ClientSide
	}
	rested := make(chan struct{})
	c := &libvirtrpc.Conversation{
		Rested: func() { close(rested) },
		Client: caller, Server: server, Unwatched: unwatched, Rules: g,
		Failing: failing, Ended: g.ended, Draining: g.gateway.Sessions.DrainBegan(),
		Memory: g.memory, Budgets: g.calls, Background: g.gateway.Work.Go,
	}
	err := c.Run(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.coming {
		if a.finished.Load() && !a.life.Asked() { // libvirt may be at ending it, by its name
			g.gateway.Work.Go(func() {
				<-rested
				a.over(arrival.NeverRan)
			})
			continue
		}
		a.over(arrival.Undecided) // or never ran: libvirtd destroys what it has prepared for a connection that ends
	}
	for _, m := range g.going {
		m.lost(nil)
	}
	return err
}

// Busy implements libvirtrpc.Rules.
func (g *destinationFilter) Busy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.coming)+len(g.going) > 0 || g.begun.any()
}

// ended tells the guests on their way that libvirtd has ended the connection.
func (g *destinationFilter) ended() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.coming {
		if a.session != nil {
			a.session.Lost(virt.ErrGone)
		}
	}
}

// Judge implements libvirtrpc.Rules.
func (g *destinationFilter) Judge(h libvirtrpc.Head) (hold bool, refusal *libvirtrpc.Error) {
	if g.access == config.AccessMigrate {
		if refusal = libvirtrpc.Allowed(h); refusal != nil {
			g.log.Warn().Str("caller", g.who).Stringer("procedure", h.Procedure).Str("program", libvirtrpc.ProgramName(h.Program)).Msg("access denied")
			refusal.Message += fmt.Sprintf("; %s = %q on %s would allow everything, as root there", g.accessKey(), config.AccessFull, g.gateway.Config.Name)
			return false, refusal
		}
	}
	if h.Program != libvirtrpc.ProgramRemote || h.Type != libvirtrpc.TypeCall {
		return false, nil
	}
	if refusal = tooOld(h.Procedure); refusal != nil {
		return false, refusal
	}
	if h.Procedure.AsksAboutCPUs() {
		return g.access != config.AccessFull, nil
	}
	switch h.Procedure {
	case libvirtrpc.ProcConnectSupportsFeature, libvirtrpc.ProcConnectOpen,
		libvirtrpc.ProcMigratePrepare3, libvirtrpc.ProcMigratePrepare3Params, libvirtrpc.ProcMigratePrepareTunnel3Params,
		libvirtrpc.ProcMigrateFinish3, libvirtrpc.ProcMigrateFinish3Params,
		libvirtrpc.ProcMigrateBegin3Params, libvirtrpc.ProcMigratePerform3Params, libvirtrpc.ProcMigrateConfirm3Params:
		return true, nil
	case libvirtrpc.ProcDomainAbortJob, libvirtrpc.ProcDomainAbortJobFlags:
		return g.access == config.AccessMigrate, nil
	}
	return false, nil
}

// accessKey is the setting that says what the caller may do.
func (g *destinationFilter) accessKey() string {
	if g.listed || g.peer == nil && g.tlsPeer == nil {
		return "clients." + g.name + ".access"
	}
	return "peers." + g.name + ".access"
}

// Understand implements libvirtrpc.Rules.
func (g *destinationFilter) Understand(ctx context.Context, c *libvirtrpc.Call) libvirtrpc.Outcome {
	if c.Procedure.AsksAboutCPUs() {
		return g.aboutCPUs(ctx, c)
	}
	switch c.Procedure {
	case libvirtrpc.ProcConnectSupportsFeature:
		return denyFDs(c)
	case libvirtrpc.ProcConnectOpen:
		return g.openDriver(c)
	case libvirtrpc.ProcMigratePrepare3:
		return g.prepare(ctx, c, libvirtrpc.DecodePrepare3).as(libvirtrpc.ProcMigratePrepare3Params)
	case libvirtrpc.ProcMigratePrepare3Params, libvirtrpc.ProcMigratePrepareTunnel3Params:
		return g.prepare(ctx, c, libvirtrpc.DecodePrepare).Outcome
	case libvirtrpc.ProcMigrateFinish3:
		return g.finish(ctx, c, libvirtrpc.DecodeFinish3).as(libvirtrpc.ProcMigrateFinish3Params)
	case libvirtrpc.ProcMigrateFinish3Params:
		return g.finish(ctx, c, libvirtrpc.DecodeFinish).Outcome
	case libvirtrpc.ProcMigrateBegin3Params:
		return g.begin(c)
	case libvirtrpc.ProcMigratePerform3Params:
		return g.perform(ctx, c)
	case libvirtrpc.ProcMigrateConfirm3Params:
		return g.confirm(ctx, c)
	case libvirtrpc.ProcDomainAbortJob:
		return g.abort(c, libvirtrpc.DecodeAbortJob)
	case libvirtrpc.ProcDomainAbortJobFlags:
		return g.abort(c, libvirtrpc.DecodeAbortJobFlags)
	}
	return outcomeErr(libvirtrpc.ErrRPC, "sluice: %s was held for no reason", c.Procedure)
}

func outcomeErr(code libvirtrpc.Code, format string, args ...any) libvirtrpc.Outcome {
	return libvirtrpc.Outcome{Err: libvirtrpc.Errorf(code, format, args...)}
}

// denied refuses a call for what it asks, and logs who did.
func (g *destinationFilter) denied(c *libvirtrpc.Call, format string, args ...any) libvirtrpc.Outcome {
	words := fmt.Sprintf(format, args...)
	g.log.Warn().Str("caller", g.who).Stringer("procedure", c.Procedure).Str("cause", words).Msg("access denied")
	return outcomeErr(libvirtrpc.ErrAccessDenied, "access denied: %s", words)
}

// openDriver lets callers open this host's QEMU driver alone. libvirtd would open
// any URI for them, also one that runs a command or leads to a third host.
func (g *destinationFilter) openDriver(c *libvirtrpc.Call) libvirtrpc.Outcome {
	call, err := libvirtrpc.DecodeOpen(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	if g.access != config.AccessFull && call.Name != nil && *call.Name != "" && *call.Name != "qemu:///system" {
		return g.denied(c, "%.80q: only qemu:///system may be opened on %s", *call.Name, g.gateway.Config.Name)
	}
	return libvirtrpc.Outcome{Body: call.Encode()}
}

// abort lets callers abort the jobs of guests that come by them.
func (g *destinationFilter) abort(c *libvirtrpc.Call, decode func([]byte) (libvirtrpc.Domain, error)) libvirtrpc.Outcome {
	dom, err := decode(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	uuid := virt.FormatUUID(dom.UUID)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.coming {
		if a.guest.uuid == uuid && a.prepared.Load() {
			return libvirtrpc.Outcome{}
		}
	}
	return g.denied(c, "guest %.80q is not being migrated here over this connection", dom.Name)
}

func (g *destinationFilter) insecure(t transfer.Transfer) libvirtrpc.Outcome {
	refusal := g.gateway.insecure(t, g.who)
	g.log.Warn().Str("caller", g.who).Str("cause", refusal.Message).Msg("migration refused")
	return libvirtrpc.Outcome{Err: refusal}
}
