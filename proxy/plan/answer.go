package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/digitalocean/go-libvirt"
	"github.com/vmihailenco/msgpack/v5"
	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/guestpolicy"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// answering is one answer in the making. Each look adds its findings; one that can't be had says so,
// and the others go on.
type answering struct {
	*arrival.Arrivals
	peer   *peer.Peer
	ask    *Ask
	flags  libvirt.DomainMigrateFlags
	needs  *domainxml.Needs
	text   string // the description
	policy *guestpolicy.Policy
	// refused are what [accept] refuses: nothing of it is looked at.
	refused []*guestpolicy.Refusal
	virt    *virt.Conn
	control.Findings
	answer *Answer
}

// AnswerPeer answers a peer's Question. It takes one of the peer's places for calls of libvirt.
func AnswerPeer(ctx context.Context, on *arrival.Arrivals, p *peer.Peer, body []byte) (*Answer, error) {
	if p.Access() == config.AccessReadOnly {
		return nil, fmt.Errorf("access denied: peers.%s.access on %s is %q, and bringing a guest takes %q", p.Conf.Table(), on.Config.Name, config.AccessReadOnly, config.AccessMigrate)
	}
	a := &answering{Arrivals: on, peer: p, ask: new(Ask), answer: &Answer{Disks: make(map[string]Answered)}}
	if err := msgpack.Unmarshal(body, a.ask); err != nil {
		return nil, fmt.Errorf("read the question %s: %w", Question, err)
	}
	if err := a.ask.Values.Check(); err != nil {
		return nil, err
	}
	a.flags = libvirt.DomainMigrateFlags(a.ask.Flags)
	var err error
	if a.text, err = inflated(a.ask.Description); err != nil {
		return nil, err
	}
	if a.needs, err = domainxml.ReadNeeds(a.text); err != nil {
		return nil, err
	}
	leave, err := libvirtrpc.TakePlaces(ctx, p.Calls)
	if err != nil {
		return nil, err
	}
	defer leave()
	a.policy = on.Policy(ctx, p.Name) // which asks libvirt for its pools
	if a.refused, err = a.policy.Judge(a.text); err != nil {
		return nil, err
	}
	if len(a.ask.Persistent) > 0 {
		text, err := inflated(a.ask.Persistent)
		if err != nil {
			return nil, err
		}
		more, err := a.policy.Judge(text)
		if err != nil {
			return nil, err
		}
		for _, r := range more { // most it shares with the other
			if !slices.ContainsFunc(a.refused, func(is *guestpolicy.Refusal) bool { return *is == *r }) {
				a.refused = append(a.refused, r)
			}
		}
	}
	if a.virt, err = on.Libvirt.Connect(ctx); err != nil {
		return nil, &stream.Cause{Code: stream.CodeLibvirt, Host: on.Config.Name, Text: virt.Words("connecting", err)}
	}
	defer a.virt.Close()
	for _, look := range []func(context.Context){
		a.accepted, a.place, a.identity, a.machine, a.postcopy, a.memory, a.disks, a.making, a.dataFiles, a.firmware, a.networks, a.secrets,
	} {
		look(ctx)
	}
	a.answer.Findings = bounded(a.List, on.Config.Name)
	return a.answer, nil
}

// byLibvirt is a failure if it is one that libvirt's driver has answered, and else not known.
func (a *answering) byLibvirt(check, code, doing string, err error) {
	if virt.FromDriver(err) {
		a.Fail(check, code, "", "%s: %s", a.Config.Name, virt.Words(doing, err))
		return
	}
	a.Unknown(check, "%s", virt.Words(doing, err))
}

// accepted tells what [accept] refuses.
func (a *answering) accepted(context.Context) {
	for _, r := range a.refused {
		a.Fail("accept", "accept", "allow it in [accept] on "+a.Config.Name+" (docs/config.md), or take it from the guest", "%s does not accept what the guest's description asks for: %v", a.Config.Name, r)
	}
	if len(a.refused) == 0 {
		a.OK("accept", "%s accepts all that the guest's description asks for", a.Config.Name)
	}
}

// place looks whether there is one for the session and its channels, and whether libvirt and QEMU
// here know what is asked for.
func (a *answering) place(ctx context.Context) {
	here := a.Config.Name
	info := stream.Info{Peer: a.peer.Name, UUID: a.needs.UUID, Work: session.WorkMigration}
	switch err := a.Sessions.Room(info, control.Incoming); {
	case errors.Is(err, session.ErrDraining):
		a.Fail("sessions", "draining", "wait until it has started again", "%s is stopping and accepts no new sessions", here)
	case err != nil:
		a.Fail("sessions", "sessions", "wait until some have ended, or raise the limit on "+here, "%s: %v", here, err)
	default: // the one for calls is had by now
		a.OK("sessions", "%s has a place for the session, and for its calls of libvirt", here)
	}
	a.answer.Room = a.Sessions.Left(a.peer.Name, control.Incoming)
	disks := len(a.ask.Values.Lists[control.OptionDisks])
	if err := a.CheckChannels(transfer.ChannelsOf(a.flags, a.ask.Parallel, disks, a.text)); err != nil {
		a.Fail("channels", "channels", "", "%v", err)
	}
	var files unix.Rlimit
	sessions := len(a.Sessions.IDs())
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && session.Fit(files.Cur) <= uint64(sessions) {
		a.Warn("nofile", "nofile", "raise LimitNOFILE in sluice.service on "+here, "sluice on %s may have %d open files, and has %d sessions already", here, files.Cur, sessions)
	}
	if err := arrival.CheckFlags(a.flags &^ arrival.SourceOnlyFlags); err != nil {
		a.Fail("options", "options", "", "%v", err)
	}
	if err := arrival.KnowsValues(ctx, a.virt, here, a.ask.Values.Shared()); err != nil {
		a.Fail("options", "options", "", "%v", err)
	}
	if err := a.Libvirt.CheckFaults(ctx, a.flags, a.text); err != nil {
		a.Fail("versions", "known-fault", "", "%v", err)
	}
}

// identity looks for guests that have the name or UUID already.
func (a *answering) identity(ctx context.Context) {
	const same = "guest"
	here, name := a.Config.Name, a.ask.Name
	uuid, err := virt.ParseUUID(a.needs.UUID)
	if err != nil {
		a.Fail(same, "uuid", "", "the guest's description has %.64q for a UUID", a.needs.UUID)
		return
	}
	state, err := a.virt.State(ctx, uuid)
	called, err2 := a.virt.NameOf(ctx, uuid)
	other, has, err3 := a.virt.Named(ctx, name)
	switch err := errors.Join(err, err2, err3); {
	case err != nil:
		a.Unknown(same, "whether %s has a guest of that name or UUID: %s", here, virt.Words("looking for it", err))
	case !state.Absent:
		a.Fail(same, "runs-there", "look which of the two is the guest before anything else (virsh dominfo on both hosts); if the one there is not needed: virsh destroy "+virt.InShell(called),
			"guest %s (%s) is on %s already, %v", called, a.needs.UUID, here, state)
	case called != "" && called != name:
		a.Fail(same, "same-uuid", "undefine it there if it is a copy or an old definition (virsh undefine "+virt.InShell(called)+")", "%s has the guest's UUID under another name, %s", here, called)
	case has && other.UUID != uuid:
		a.Fail(same, "same-name", "rename one of them (virsh domrename), or migrate with --dname", "%s has another guest of the name %s (%s)", here, name, virt.FormatUUID(other.UUID))
	case a.Named(name) != nil:
		a.Fail(same, "same-name", "wait until it has come", "another guest of the name %s is on its way to %s", name, here)
	case called != "":
		a.OK(same, "%s has a definition of %s, and it does not run there", here, name)
	default:
		a.OK(same, "%s has no other guest of this name or UUID", here)
	}
}

// refuses says whether [accept] refuses anything of an element.
func (a *answering) refuses(element string) bool {
	for _, r := range a.refused {
		if strings.HasPrefix(r.Element, element) {
			return true
		}
	}
	return false
}
