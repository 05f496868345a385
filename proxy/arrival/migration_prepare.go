package arrival

import (
	"context"
	"errors"
	"fmt"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

func (in *Migration) prepare(ctx context.Context, call *PrepareCall) (any, error) {
	if in.life != nil {
		return nil, errors.New("the guest is prepared already")
	}
	in.flags = libvirt.DomainMigrateFlags(call.Flags)
	if err := CheckFlags(in.flags); err != nil {
		return nil, err
	}
	if err := call.Values.Check(); err != nil { // also of a newer sluice, for what is not known here
		return nil, err
	}
	values := call.Values.Shared() // no others reach libvirt
	if err := in.arrivals.CheckChannels(transfer.ChannelsOf(in.flags, call.Parallel, len(values.Lists[control.OptionDisks]), call.XML)); err != nil {
		return nil, err
	}
	in.entry.SetPhase(control.PhasePrepare)
	in.entry.AskedBy(in.entry.Asker(), transfer.Flags(in.flags))
	ctx, cancel := context.WithTimeoutCause(ctx, in.arrivals.Config.Limits.PrepareTimeout, fmt.Errorf(
		"QEMU was not started within %v (limits.prepare_timeout)", in.arrivals.Config.Limits.PrepareTimeout))
	defer cancel()
	if err := KnowsValues(ctx, in.virt, in.arrivals.Config.Name, values); err != nil {
		return nil, err
	}
	if err := in.arrivals.Libvirt.CheckFaults(ctx, in.flags, call.XML); err != nil {
		return nil, err
	}
	if err := in.checkGuest(ctx, call); err != nil {
		return nil, err
	}
	images, err := in.arrivals.wanted(&Making{in.flags, call.XML, values.Lists[control.OptionDisks], call.CreateDisks, in.arrivals.Policy(ctx, in.info.Peer)})
	if err != nil {
		return nil, err
	}
	life, err := in.arrivals.Claim(ctx, Bringer{in.info.Peer, in.info.ID}, in.uuid, call.Name, in.flags)
	if err != nil {
		return nil, err
	}
	in.steps = Steps{
		Virt: in.virt, UUID: in.uuid, Calls: in.arrivals.Peers.Get(in.info.Peer).Calls,
		Flags: in.flags &^ SourceOnlyFlags, Params: Params(call.Name, At(in.dir), call.Bandwidth, call.Parallel, values),
	}
	var reply PrepareReply
	if reply.Made, err = in.makeDisks(ctx, call.Name, images); err != nil {
		life.End(NeverRan)
		return nil, err
	}
	if reply.Cookie, _, err = in.steps.Prepare(ctx, call.XML, call.Cookie); err != nil {
		life.End(NeverRan)
		in.settleDisks(NeverRan)
		return nil, in.cause("preparing the guest", err)
	}
	in.life = life
	if !life.mayPostcopy() { // in post-copy the guest may be here, and goes on without its libvirt
		in.virt.WatchDriver(ctx) // without success Finish finds out
	}
	if err := life.Prepared(ctx); err != nil {
		return nil, &stream.Cause{Code: stream.CodeLibvirt, Host: in.arrivals.Config.Name, Text: err.Error()}
	}
	if in.made != nil {
		in.made.ID = life.ID()
		if err := in.arrivals.disks.note(in.made); err != nil {
			return nil, fmt.Errorf("note for whom disks were made: %w", err)
		}
	}
	in.looks.Go(func() { life.AwaitPostcopy(in.session.Context(), in.switched) })
	if !in.offline() {
		in.entry.SetPhase(control.PhaseMemory)
	}
	in.log.Info().Msg("guest prepared")
	return &reply, nil
}

// switched to post-copy: no limit may cut the session off any more.
func (in *Migration) switched() {
	in.session.Unbound()
	in.entry.SetPhase(control.PhasePost)
	in.entry.Decided("switched to post-copy: no limit of time, bytes or bandwidth holds any more")
}

// checkGuest makes sure that the guest described is the one the session is
// for, and that it is not here.
func (in *Migration) checkGuest(ctx context.Context, call *PrepareCall) error {
	if len(call.Cookie) == 0 {
		return libvirtrpc.ErrNoCookie
	}
	dom, err := domainxml.Read(call.XML)
	if err != nil {
		return err
	}
	if uuid, err := virt.ParseUUID(dom.UUID); err != nil || uuid != in.uuid {
		return fmt.Errorf("the guest's description is of %.64q, the session of %s", dom.UUID, in.info.UUID)
	}
	descriptions := []string{call.XML}
	if call.PersistentXML != "" {
		descriptions = append(descriptions, call.PersistentXML)
	}
	if err := in.arrivals.AcceptGuest(ctx, in.info.Peer, call.Cookie, descriptions...); err != nil {
		return err
	}
	state, err := in.virt.State(ctx, in.uuid)
	switch resume := in.flags&libvirt.MigratePostcopyResume != 0; {
	case err != nil:
		return in.cause("looking for the guest", err)
	case resume && !state.InPostcopy():
		return fmt.Errorf("guest %s (%s) is %v on %s: there is no post-copy to resume", call.Name, in.info.UUID, state, in.arrivals.Config.Name)
	case !resume && !state.Absent:
		return fmt.Errorf("guest %s (%s) is already on %s, %v", call.Name, in.info.UUID, in.arrivals.Config.Name, state)
	}
	return nil
}

// makeDisks makes those of the images that are missing, and returns their paths.
func (in *Migration) makeDisks(ctx context.Context, name string, images []virt.Image) ([]string, error) {
	if len(images) == 0 {
		return nil, nil
	}
	m := &madeDisks{Peer: in.info.Peer, Session: in.info.ID, UUID: in.info.UUID, Guest: name, Postcopy: in.flags&libvirt.MigratePostcopy != 0}
	if err := in.arrivals.makeDisks(ctx, m, images, in.arrivals.Policy(ctx, in.info.Peer).CheckImage); err != nil || len(m.Disks) == 0 {
		return nil, err
	}
	in.made = m
	in.entry.MadeDisks(m.paths())
	in.log.Info().Strs("disks", m.paths()).Msg("disks made")
	return m.paths(), nil
}
