package plan

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	findings
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
	if a.virt, err = on.Libvirt.Connect(ctx); err != nil {
		return nil, &stream.Cause{Code: stream.CodeLibvirt, Host: on.Config.Name, Text: virt.Words("connecting", err)}
	}
	defer a.virt.Close()
	for _, look := range []func(context.Context){
		a.accepted, a.place, a.identity, a.machine, a.memory, a.disks, a.firmware, a.networks, a.secrets,
	} {
		look(ctx)
	}
	a.answer.Findings = bounded(a.findings.all, on.Config.Name)
	return a.answer, nil
}

// byLibvirt is a failure if it is one that libvirt's driver has answered, and else not known.
func (a *answering) byLibvirt(check, code, doing string, err error) {
	if virt.FromDriver(err) {
		a.fail(check, code, "", "%s: %s", a.Config.Name, virt.Words(doing, err))
		return
	}
	a.unknown(check, "%s", virt.Words(doing, err))
}

// accepted tells what [accept] refuses.
func (a *answering) accepted(context.Context) {
	for _, r := range a.refused {
		a.fail("accept", "accept", "allow it in [accept] on "+a.Config.Name+" (docs/config.md), or take it from the guest", "%s does not accept what the guest's description asks for: %v", a.Config.Name, r)
	}
	if len(a.refused) == 0 {
		a.ok("accept", "%s accepts all that the guest's description asks for", a.Config.Name)
	}
}

// place looks whether there is one for the session and its channels, and whether libvirt and QEMU
// here know what is asked for.
func (a *answering) place(ctx context.Context) {
	here := a.Config.Name
	info := stream.Info{Peer: a.peer.Name, UUID: a.needs.UUID, Work: session.WorkMigration}
	switch err := a.Sessions.Room(info, control.Incoming); {
	case errors.Is(err, session.ErrDraining):
		a.fail("sessions", "draining", "wait until it has started again", "%s is stopping and accepts no new sessions", here)
	case err != nil:
		a.fail("sessions", "sessions", "wait until some have ended, or raise the limit on "+here, "%s: %v", here, err)
	default: // the one for calls is had by now
		a.ok("sessions", "%s has a place for the session, and for its calls of libvirt", here)
	}
	a.answer.Room = a.Sessions.Left(a.peer.Name, control.Incoming)
	disks := len(a.ask.Values.Lists[control.OptionDisks])
	if err := a.CheckChannels(transfer.ChannelsOf(a.flags, a.ask.Parallel, disks, a.text)); err != nil {
		a.fail("channels", "channels", "", "%v", err)
	}
	var files unix.Rlimit
	sessions := len(a.Sessions.IDs())
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Cur < uint64(filesBesides+(sessions+1)*filesPerSession) {
		a.warn("nofile", "nofile", "raise LimitNOFILE in sluice.service on "+here, "sluice on %s may have %d open files, and has %d sessions already", here, files.Cur, sessions)
	}
	if err := arrival.KnowsValues(ctx, a.virt, here, a.ask.Values.Shared()); err != nil {
		a.fail("options", "options", "", "%v", err)
	}
	if err := a.Libvirt.CheckFaults(ctx, a.flags, a.text); err != nil {
		a.fail("versions", "known-fault", "", "%v", err)
	}
}

// Descriptors that a session takes, by and large, and the daemon besides.
const (
	filesPerSession = 24
	filesBesides    = 256
)

// identity looks for guests that have the name or UUID already.
func (a *answering) identity(ctx context.Context) {
	const same = "guest"
	here, name := a.Config.Name, a.ask.Name
	uuid, err := virt.ParseUUID(a.needs.UUID)
	if err != nil {
		a.fail(same, "uuid", "", "the guest's description has %.64q for a UUID", a.needs.UUID)
		return
	}
	state, err := a.virt.State(ctx, uuid)
	called, err2 := a.virt.NameOf(ctx, uuid)
	other, has, err3 := a.virt.Named(ctx, name)
	switch err := errors.Join(err, err2, err3); {
	case err != nil:
		a.unknown(same, "whether %s has a guest of that name or UUID: %s", here, virt.Words("looking for it", err))
	case !state.Absent:
		a.fail(same, "runs-there", "look which of the two is the guest before anything else (virsh dominfo on both hosts); if the one there is not needed: virsh destroy "+virt.InShell(called),
			"guest %s (%s) is on %s already, %v", called, a.needs.UUID, here, state)
	case called != "" && called != name:
		a.fail(same, "same-uuid", "undefine it there if it is a copy or an old definition (virsh undefine "+virt.InShell(called)+")", "%s has the guest's UUID under another name, %s", here, called)
	case has && other.UUID != uuid:
		a.fail(same, "same-name", "rename one of them (virsh domrename), or migrate with --dname", "%s has another guest of the name %s (%s)", here, name, virt.FormatUUID(other.UUID))
	case a.Named(name) != nil:
		a.fail(same, "same-name", "wait until it has come", "another guest of the name %s is on its way to %s", name, here)
	case called != "":
		a.ok(same, "%s has a definition of %s, and it does not run there", here, name)
	default:
		a.ok(same, "%s has no other guest of this name or UUID", here)
	}
}

// machine looks whether QEMU here can be that of the guest.
func (a *answering) machine(ctx context.Context) {
	here, n := a.Config.Name, a.needs
	if n.Emulator != "" && !a.policy.Emulator(n.Emulator) { // libvirt would run it
		a.unknown("machine", "what %s can give the guest, since its <emulator> is not accepted there", here)
		return
	}
	has, err := a.virt.Capabilities(ctx, n)
	if err != nil {
		a.byLibvirt("machine", "machine", "looking for the guest's machine type and QEMU", err)
		return
	}
	lacks := false
	for _, w := range n.Devices {
		if has.Lacks(w) {
			lacks = true
			a.fail("machine", "device", "have QEMU there updated or its package installed, or change the device", "QEMU on %s has no %s of %s %q", here, w.Device, w.Enum, w.Value)
		}
	}
	if n.VCPUs > has.VCPUs && has.VCPUs > 0 {
		lacks = true
		a.fail("machine", "vcpus", "", "the guest has %d virtual CPUs, and its machine type has at most %d on %s", n.VCPUs, has.VCPUs, here)
	}
	if !lacks {
		a.ok("machine", "%s has %s with machine type %s, and the guest's devices", here, n.Emulator, n.Machine)
	}
	a.cpu(ctx)
}

func (a *answering) cpu(ctx context.Context) {
	const cpu = "CPU"
	here := a.Config.Name
	if a.ask.CPU == "" {
		a.unknown(cpu, "whether the guest's CPU is to be had on %s, since its source does not say which it has", here)
		return
	}
	if err := domainxml.Bounded(a.ask.CPU); err != nil || !strings.HasPrefix(a.ask.CPU, "<cpu") {
		a.unknown(cpu, "whether the guest's CPU is to be had on %s: its source describes it by what is no CPU", here)
		return
	}
	switch err := a.virt.FitsCPU(ctx, a.needs, a.ask.CPU); {
	case errors.Is(err, virt.ErrCPU):
		a.fail(cpu, "cpu", "restart the guest with a CPU model that both hosts have (virsh hypervisor-cpu-baseline)", "%s can't give the guest the CPU that it has: %v", here, err)
	case err != nil:
		a.unknown(cpu, "whether the guest's CPU is to be had on %s: %s", here, virt.Words("comparing it", err))
	default:
		a.ok(cpu, "%s has all of the CPU that the guest has", here)
	}
}

// mayBeMore is what QEMU takes besides the guest's memory, as one part of so many.
const mayBeMore = 16

func (a *answering) memory(ctx context.Context) {
	here, need := a.Config.Name, a.needs.Memory
	if a.flags&libvirt.MigrateOffline != 0 {
		return
	}
	if a.needs.Huge {
		a.hugePages(ctx)
		return
	}
	free, err := a.virt.FreeMemory(ctx)
	if err == nil {
		a.answer.Free = &free
	}
	switch {
	case err != nil:
		a.unknown("memory", "how much memory is free on %s: %s", here, virt.Words("asking for it", err))
	case free < need:
		a.fail("memory", "memory", "free some there, or make the guest smaller (virsh setmem)", "%s has %s of memory free, and the guest may come to need %s", here, size(free), size(need))
	case free < need+need/mayBeMore:
		a.warn("memory", "memory", "free some there", "%s has %s of memory free, and the guest has %s: QEMU itself takes some besides", here, size(free), size(need))
	default:
		a.ok("memory", "%s has %s of memory free, the guest has %s", here, size(free), size(need))
	}
}

func (a *answering) hugePages(ctx context.Context) {
	here := a.Config.Name
	if len(a.needs.HugePages) != 1 || a.needs.HugePages[0] == 0 {
		a.unknown("memory", "whether %s has enough free huge pages: the guest's description does not name one size (virsh freepages --all shows those that are free)", here)
		return
	}
	page := a.needs.HugePages[0]
	need := (a.needs.Memory + page - 1) / page
	free, err := a.virt.FreePages(ctx, page)
	if err == nil && free <= maxSize/page {
		bytes := free * page
		a.answer.Free = &bytes
	}
	switch {
	case err != nil:
		a.byLibvirt("memory", "hugepages", "asking for free huge pages of "+size(page), err)
	case free < need:
		a.fail("memory", "hugepages", "reserve more there (virsh allocpages)", "%s has %d free huge pages of %s, and the guest takes %d", here, free, size(page), need)
	default:
		a.ok("memory", "%s has %d free huge pages of %s, the guest takes %d", here, free, size(page), need)
	}
}

func (a *answering) networks(ctx context.Context) {
	const network = "network"
	here := a.Config.Name
	if a.refuses("devices/interface") {
		a.unknown(network, "whether %s has the guest's networks and bridges, since it does not accept all of its interfaces", here)
		return
	}
	for _, name := range unique(a.needs.Networks) {
		switch has, active, err := a.Libvirt.NetworkActive(ctx, name); {
		case err != nil:
			a.unknown(network, "whether %s has the network %s: %s", here, name, virt.Words("looking for it", err))
		case !has:
			a.fail(network, "no-network", "define and start it there (virsh net-define, net-start), or give the guest another by --xml", "%s has no network %s", here, name)
		case !active:
			a.fail(network, "inactive-network", "start it there (virsh net-start "+virt.InShell(name)+")", "the network %s is not active on %s", name, here)
		default:
			a.ok(network, "%s has the network %s", here, name)
		}
	}
	for _, name := range unique(a.needs.Links) {
		if _, err := net.InterfaceByName(name); err != nil {
			a.fail(network, "no-bridge", "make it there, with the same name (ip link), or give the guest another by --xml", "%s has no bridge or interface %s", here, name)
			continue
		}
		a.ok(network, "%s has the interface %s", here, name)
	}
}

func (a *answering) secrets(ctx context.Context) {
	const secret = "secret"
	here := a.Config.Name
	if len(a.needs.Secrets) > 0 && (a.refuses("devices/disk") || a.refuses("devices/tpm")) {
		a.unknown(secret, "whether libvirt on %s has the guest's secrets, since it does not accept all of its disks", here)
		return
	}
	for _, s := range unique(a.needs.Secrets) {
		is := s.UUID
		if is == "" {
			is = s.Type + " " + s.Usage
		}
		switch has, err := a.Libvirt.HasSecret(ctx, s.UUID, s.Type, s.Usage); {
		case err != nil:
			a.unknown(secret, "whether libvirt on %s has the secret %s: %s", here, is, virt.Words("looking for it", err))
		case !has:
			a.fail(secret, "no-secret", "define it there and set its value (virsh secret-define, secret-set-value)", "libvirt on %s does not have the secret %s, which a disk or TPM of the guest needs", here, is)
		default:
			a.ok(secret, "libvirt on %s has the secret %s", here, is)
		}
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
