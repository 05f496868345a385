package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/migration"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// planning is one plan in the making.
type planning struct {
	*host.Host
	req   *control.MigrateRequest
	peer  *peer.Peer
	asked *migration.Asked
	needs *domainxml.Needs
	found control.Findings // here
	there control.Findings // of the destination
	disks []plannedDisk
	free  *uint64 // bytes of the kind of memory that the guest has, at the destination; nil: not known
	room  int     // for migrations, there

	estimated *control.Estimate
}

// Run plans a migration. check is internal/check's of one peer. An error is of a request that can't
// be planned at all, as Migrate's is.
func Run(ctx context.Context, d *host.Host, asks *control.PlanRequest, check func(ctx context.Context, peer string) (*control.Report, error)) (*control.Plan, error) {
	req := &asks.MigrateRequest
	asked, err := migration.AskLibvirt(ctx, d, req)
	if err != nil {
		return nil, err
	}
	defer asked.Virt.Close()
	pl := &planning{Host: d, req: req, peer: asked.Peer, asked: asked}
	report, err := check(ctx, pl.peer.Name)
	if err != nil {
		return nil, err
	}
	if pl.needs, err = domainxml.ReadNeeds(asked.Description); err != nil {
		return nil, err
	}
	pl.there.Peer = pl.peer.Name
	pl.there.List = append(pl.there.List, report.Findings...)
	pl.here(ctx)
	if err := pl.measureDisks(ctx); err != nil {
		return nil, err
	}
	switch way := wayOf(report); way {
	case control.WaySluice:
		pl.askThere(ctx)
	case control.WayNone: // check has said why
		pl.noAnswer("what %s has for the guest, since it can't be asked", pl.peer.Name)
	default:
		if err := asked.WithoutSluice(ctx); err != nil {
			pl.there.Fail("options", "without-sluice", "", "%s", refusalOf(err))
		}
		pl.noAnswer("what %s has for the guest, since it has no sluice that could be asked", pl.peer.Name)
	}
	switch {
	case asks.Unmeasured, req.Offline: // of a definition there is nothing to measure
	case wayOf(report) == control.WaySluice:
		pl.estimate(ctx)
	default:
		pl.found.Unknown(estimate, "how long it takes: how fast data gets through is measured between two sluices")
	}
	return pl.plan(), nil
}

// wayOf is how guests go to the one peer that was checked.
func wayOf(report *control.Report) string {
	for _, v := range report.Peers {
		return v.Way
	}
	return control.WayNone
}

func (pl *planning) plan() *control.Plan {
	p := &control.Plan{
		Guest: pl.asked.Guest.Name, UUID: virt.FormatUUID(pl.asked.Guest.UUID), Source: pl.Config.Name, Destination: pl.peer.Name, Time: time.Now(),
		Findings: slices.Concat(pl.found.List, pl.there.List), Estimate: pl.estimated,
	}
	for _, d := range pl.disks {
		p.Disks = append(p.Disks, d.PlannedDisk)
	}
	p.Memory = pl.memory()
	p.Room = min(pl.room, pl.Sessions.Left(pl.peer.Name, control.Outgoing))
	for _, f := range p.Findings {
		switch f.Result {
		case control.ResultError:
			p.Errors++
		case control.ResultWarning:
			p.Warnings++
		case control.ResultUnknown:
			p.Unknown++
		}
	}
	p.Possible = p.Errors == 0
	return p
}

// memory is what the guest takes of the destination's.
func (pl *planning) memory() *control.PlannedMemory {
	if pl.req.Offline {
		return nil
	}
	m := &control.PlannedMemory{Needed: pl.needs.Memory}
	if pl.needs.Huge && len(pl.needs.HugePages) == 1 {
		m.HugePage = pl.needs.HugePages[0]
	}
	if pl.free != nil {
		m.Free, m.Known = *pl.free, true
	}
	return m
}

// here is what keeps the guest here.
func (pl *planning) here(ctx context.Context) {
	l, name, here := &pl.found, pl.asked.Guest.Name, pl.Config.Name
	switch {
	case pl.asked.Refused != nil:
		l.Fail("libvirt", "libvirt", "", "libvirt on %s does not migrate the guest: %s", here, virt.Words("beginning the migration", pl.asked.Refused))
	case pl.asked.Unsafe != nil:
		l.Fail("libvirt", "unsafe", "", "%s", virt.Words("beginning the migration", pl.asked.Unsafe))
	default:
		l.OK("libvirt", "libvirt on %s would begin the migration; the guest is %v", here, pl.asked.State)
	}
	if pl.asked.NotMade != nil {
		l.Fail("disks", "not-made", "", "%s", refusalOf(pl.asked.NotMade))
	}
	for _, s := range pl.needs.Stuck {
		if pl.asked.Refused != nil {
			l.Fail("devices", "stuck", s.Do, "the guest has %s", s.What)
			continue
		}
		l.Warn("devices", "stuck", "", "the guest has %s; libvirt says that it goes along", s.What)
	}
	if slices.Contains(pl.needs.Devices, domainxml.Wanted{Device: "tpm", Enum: "backendModel", Value: "emulator"}) {
		l.OK("TPM", "what the guest's TPM keeps goes along with its memory")
	}
	pl.saved(ctx)
	// A migration takes one of libvirtd's max_workers at its source until it ends.
	l.Unknown("workers", "whether libvirt on %s has a worker to spare until the migration ends: `virt-admin server-threadpool-info libvirtd` there tells how many are free", here)
	info := stream.Info{Peer: pl.peer.Name, UUID: virt.FormatUUID(pl.asked.Guest.UUID), Work: session.WorkMigration}
	if err := pl.Sessions.Room(info, control.Outgoing); err != nil {
		l.Fail("sessions", "sessions", "", "%s: %v", here, err)
	}
	disks := len(pl.req.Values.Lists[control.OptionDisks])
	if err := pl.CheckChannels(transfer.ChannelsOf(pl.asked.Flags, pl.req.ParallelConnections, disks, pl.asked.Description)); err != nil {
		l.Fail("channels", "channels", "", "%v", err)
	}
	if pl.HasStayed(ctx, pl.asked.Guest) {
		l.Warn("guest", "stayed", "resume it (virsh resume "+virt.InShell(name)+"), and pause it again (virsh suspend "+virt.InShell(name)+")",
			"the guest is paused since an earlier migration began, which has not moved it: if that had come to its last moment, QEMU refuses another one before the guest has run")
	}
	if pl.asked.State.Paused() {
		if err := pl.CheckLeaving(ctx, pl.asked.Guest.UUID); err != nil {
			l.Fail("guest", "paused", "", "guest %s: %v", name, err)
		}
	}
}

// refusalOf is why Migrate would refuse, without the host in front, which the report has.
func refusalOf(err error) string {
	var c *stream.Cause
	if errors.As(err, &c) {
		return c.Text
	}
	return err.Error()
}

// saved looks for what libvirt keeps of the guest beside it: it refuses some of these, and leaves
// others behind.
func (pl *planning) saved(ctx context.Context) {
	var snapshots, checkpoints, managed int32
	v, dom := pl.asked.Virt, pl.asked.Guest
	err := v.Bound(ctx, func() error {
		var errs [3]error
		snapshots, errs[0] = v.DomainSnapshotNum(dom, 0)
		_, checkpoints, errs[1] = v.DomainListAllCheckpoints(dom, 0, 0)
		managed, errs[2] = v.DomainHasManagedSaveImage(dom, 0)
		return errors.Join(errs[:]...)
	})
	l, name := &pl.found, dom.Name
	if err != nil {
		l.Unknown("snapshots", "whether the guest has snapshots, checkpoints or a saved state: %s", virt.Words("looking for them", err))
		return
	}
	if snapshots > 0 && !pl.req.Offline {
		l.Fail("snapshots", "snapshots", "delete them (virsh snapshot-list "+virt.InShell(name)+"; snapshot-delete --metadata keeps what is in the image)", "the guest has %d snapshots, with which libvirt does not migrate it", snapshots)
	}
	if checkpoints > 0 {
		l.Fail("checkpoints", "checkpoints", "delete them (virsh checkpoint-list "+virt.InShell(name)+", checkpoint-delete)", "the guest has %d checkpoints, with which libvirt does not migrate it", checkpoints)
	}
	if managed > 0 {
		l.Warn("snapshots", "managed-save", "remove it (virsh managedsave-remove "+virt.InShell(name)+")", "the guest has a saved state (virsh managedsave), which stays here")
	}
}

// askThere asks the destination.
func (pl *planning) askThere(ctx context.Context) {
	ask := &Ask{
		Name: pl.asked.Name, Description: deflated(pl.asked.Description), Flags: uint32(pl.asked.Flags), Parallel: pl.req.ParallelConnections,
		Values: pl.req.Values.Shared(), CreateDisks: pl.req.CreateDisks, Sizes: make(map[string]uint64), Make: pl.asked.Make,
	}
	if pl.req.PersistentXML != "" {
		ask.Persistent = deflated(pl.req.PersistentXML)
	}
	for _, d := range pl.disks {
		if d.Copied {
			ask.Sizes[d.Target] = d.Size
		}
	}
	var err error
	if ask.CPU, err = pl.cpu(ctx); err != nil {
		pl.there.Unknown("CPU", "which CPU the guest has here: %s", virt.Words("asking for it", err))
	}
	answer := new(Answer)
	err = pl.Opener(pl.peer).Ask(ctx, "", Question, ask, answer)
	var cause *stream.Cause
	if err == nil {
		if err = answer.check(targetsOf(pl.needs)); err != nil {
			err = fmt.Errorf("%s answers the question with nonsense: %w", pl.peer.Name, err)
		}
	}
	switch {
	case err == nil:
		pl.free, pl.room = answer.Free, answer.Room
		for _, f := range answer.Findings {
			pl.there.Add(f)
		}
		pl.answeredDisks(answer.Disks)
	case errors.As(err, &cause) && cause.Code == stream.CodeVersion:
		pl.there.Warn("plan", "older", "update it", "the sluice on %s is older, and does not say what it has for a guest", pl.peer.Name)
		pl.noAnswer("what %s has for the guest, since its sluice is older than this one", pl.peer.Name)
	default:
		pl.there.Fail("plan", "no-answer", "look at the log of sluice there", "%s does not say what it has for the guest: %s", pl.peer.Name, stream.Printable(err.Error()))
		pl.noAnswer("what %s has for the guest", pl.peer.Name)
	}
}

// noAnswer says that what only the destination knows is not known.
func (pl *planning) noAnswer(format string, args ...any) {
	pl.there.Unknown("plan", format, args...)
	for i := range pl.disks {
		pl.disks[i].Unknown = pl.peer.Name + " does not say"
	}
}

// cpu is the guest's, as it has it now. One that is this host's own by its mode is what libvirt gives
// guests of this host by host-model.
func (pl *planning) cpu(ctx context.Context) (string, error) {
	if pl.asked.State.Absent {
		return "", nil
	}
	live, err := pl.asked.Live(ctx)
	if err != nil {
		return "", err
	}
	text, mode, err := domainxml.CPU(live)
	if err != nil || mode == "" || mode == "custom" {
		return text, err
	}
	has, err := pl.asked.Virt.Capabilities(ctx, pl.needs)
	if err != nil {
		return "", err
	}
	return has.HostCPU, nil
}
