package proxy

import (
	"context"
	"fmt"
	"net/http"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/migration"
	"github.com/virt-sluice/sluice/proxy/peer"
)

// leaving is what `sluice status` shows of guests that leave.
func (d *Daemon) leaving() (all []control.DepartureStatus) {
	for _, s := range d.Departures.Status() {
		all = append(all, control.DepartureStatus{Guest: s.Guest, UUID: s.UUID, Peer: s.Peer, Session: s.Session,
			Asked: s.Since, Stopped: s.Fenced, Verdict: string(s.Verdict), Overdue: s.Overdue, Last: s.Last})
	}
	return all
}

// resolve takes an operator's word for where a guest runs.
func (d *Daemon) resolve(ctx context.Context, req *control.ResolveRequest) error {
	verdict := departure.Absent
	if req.Runs == control.There {
		verdict = departure.Runs
	}
	if c := d.earlierWith(ctx, req.Guest); c != nil {
		return c.Resolve(ctx, req)
	}
	if err := d.Departures.Resolve(ctx, req.Guest, verdict); err != nil {
		return &control.Error{Code: http.StatusConflict, Message: err.Error()}
	}
	return nil
}

// askOutcome asks a peer's sluice what became of the guest of a session.
func (d *Daemon) askOutcome(ctx context.Context, name, session, uuid string) (departure.Answer, error) {
	h := d.now().Host
	p, err := find(h, name)
	if err != nil {
		return departure.Answer{}, err
	}
	var reply arrival.OutcomeReply
	if err := h.Opener(p).Ask(ctx, session, arrival.AskOutcome, &arrival.OutcomeAsk{Session: session, UUID: uuid}, &reply); err != nil {
		return departure.Answer{}, err
	}
	return departure.AnswerOf(reply.Outcome, reply.State), nil
}

// askLibvirt asks the libvirt of a peer without a sluice what became of a guest that it was asked to
// take over.
func (d *Daemon) askLibvirt(ctx context.Context, name string, guest libvirt.UUID) (departure.Answer, error) {
	h := d.now().Host
	p, err := find(h, name)
	if err == nil && p.Conf.WithoutSluice == config.WithoutNo {
		err = fmt.Errorf("%s had no sluice, and without_sluice of peers.%s allows nothing any more", name, p.Conf.Table())
	}
	if err != nil {
		return departure.Answer{}, err
	}
	reply, err := migration.OutcomeWithoutSluice(ctx, h, p, guest, true)
	if err != nil {
		return departure.Answer{}, err
	}
	return departure.AnswerOf(reply.Outcome, reply.State), nil
}

// find is the peer of a guest that was leaving.
func find(h *host.Host, name string) (*peer.Peer, error) {
	p := h.Peers.Find(name)
	if p == nil {
		return nil, fmt.Errorf("%s is no peer in the configuration of %s any more", name, h.Config.Name)
	}
	return p, nil
}
