package migration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/converge"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// outgoing is one migration at its source, from the request to the result.
type outgoing struct {
	host   *host.Host
	req    *control.MigrateRequest
	peer   *peer.Peer
	report func(control.Progress)
	log    zerolog.Logger

	virt  *virt.Conn     // runs Begin, Perform and Confirm, and holds libvirt's job
	watch *virt.LazyConn // interventions meanwhile
	dom   libvirt.Domain
	flags libvirt.DomainMigrateFlags
	info  stream.Info

	departure *departure.Departure // from Finish on; nil in post-copy

	entry   *session.Entry
	dir     rundir.SessionDir
	session destination
	sockets sync.WaitGroup // accept loops

	switchPoll *time.Ticker // runs from switching until postcopy

	goal    *converge.Goal // nil: it has none
	memory  uint64         // of the guest, in bytes, where there is a goal
	pursuit *host.Pursuit  // of it; nil until there are figures

	started   time.Time
	params    []libvirt.TypedParam
	cookie    []byte        // libvirt's, from the step before
	begun     bool          // libvirt's job is ours to confirm
	speed     uint64        // libvirt's for the job, in MiB/s; followSpeed's
	postcopy  bool          // the guest has been switched over, by libvirt's word
	switching bool          // QEMU was asked to switch it over
	suspended bool          // the guest has been paused, by us
	paused    bool          // it was paused when the migration began
	asked     *stream.Cause // why the job was aborted, by us
	code      string        // of what the result has as its cause
	downtime  time.Duration
	made      []string // paths of disks that the destination has made
	warnings  []string // for the caller
}

// Migrate runs one migration, for as long as ctx lives or until it can no
// longer be taken back. asked is who wants it; nil: that is not known. An error means that nothing
// was started.
func Migrate(ctx context.Context, d *host.Host, req *control.MigrateRequest, asked *control.Asker, report func(control.Progress)) (*control.Result, error) {
	d.Work.Add(1)
	defer d.Work.Done()
	m := &outgoing{host: d, req: req, report: report, started: time.Now(), postcopy: req.PostCopyResume}
	if err := m.check(ctx); err != nil {
		return nil, err
	}
	defer m.virt.Close()
	defer m.watch.Close()
	m.entry.AskedBy(asked, req.Flags())
	if m.goal != nil {
		m.entry.HasGoal()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.cancellable(cancel)
	m.progress(control.PhaseConnect)
	result := m.run(ctx)
	m.finishResult(result)
	return result, nil
}

// cancellable lets others than the caller cancel, as if it were the caller.
func (m *outgoing) cancellable(cancel context.CancelCauseFunc) {
	if m.postcopy {
		m.noCancel()
		return
	}
	m.entry.OnCancel(func(_ context.Context, why *stream.Cause) error {
		cancel(why)
		return nil
	})
}

// noCancel: from now on libvirt at the destination decides, or the guest is in post-copy.
func (m *outgoing) noCancel() {
	if m.postcopy {
		m.entry.NoCancel("guest %s is in post-copy: it runs on %s, and a part of its memory is on %s, so it can't be cancelled any more", m.dom.Name, m.peer.Name, m.host.Config.Name)
		return
	}
	m.entry.NoCancel("%s is taking guest %s over, which can't be cancelled any more", m.peer.Name, m.dom.Name)
}

// aim finds the peer, and refuses what this host's configuration does not allow with it.
func (m *outgoing) aim() (clear bool, err error) {
	d := m.host
	m.peer = d.Peers.Called(m.req.Peer)
	if m.peer == nil {
		return false, control.WrongUse("no peer is named %q in the configuration of %s; there are: %s",
			m.req.Peer, d.Config.Name, strings.Join(d.Config.PeerNames(), ", "))
	}
	clear = m.req.TLS == control.No || m.req.TLS == control.Unset && d.TLSDefault(m.peer) == control.No
	if clear && d.Config.Secure() {
		return false, control.WrongUse("the guest's memory would cross the network in clear, and %s requires security: leave out --tls no, or set require_secure = false on both hosts", d.Config.Name)
	}
	return clear, nil
}

// check refuses what can't be begun, and makes a place for the session.
func (m *outgoing) check(ctx context.Context) error {
	d := m.host
	clear, err := m.aim()
	if err != nil {
		return err
	}
	if err := m.findGuest(ctx); err != nil {
		return err
	}
	m.info = stream.Info{
		ID:      stream.NewID(),
		Work:    session.WorkMigration,
		Guest:   m.dom.Name,
		UUID:    virt.FormatUUID(m.dom.UUID),
		Peer:    m.peer.Name,
		Address: m.peer.Conf.Address,
		Clear:   clear,
	}
	if m.entry, err = d.Sessions.Add(m.info, control.Outgoing); err != nil {
		m.virt.Close()
		return &control.Error{Code: http.StatusConflict, Message: err.Error()}
	}
	m.log = session.Log(d.Log, m.info, control.Outgoing)
	if clear {
		m.log.Warn().Msg("memory and disks go in clear, as configured")
		m.entry.Warned("memory and disks go in clear, as configured")
	}
	return nil
}

// findGuest connects to libvirt and finds the guest, which must be active.
func (m *outgoing) findGuest(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, m.host.Config.Limits.HandshakeTimeout)
	defer cancel()
	if m.virt, err = m.host.Libvirt.Connect(ctx); err != nil {
		return err
	}
	m.watch = &virt.LazyConn{Libvirt: m.host.Libvirt}
	var state virt.State
	err = m.virt.Bound(ctx, func() (err error) {
		m.dom, err = m.virt.Find(m.req.Guest)
		return err
	})
	if libvirt.IsNotFound(err) {
		err = control.WrongUse("there is no guest %q on %s (libvirt: %s); `virsh list` shows those that run",
			m.req.Guest, m.host.Config.Name, strings.TrimSpace(err.Error()))
	}
	if err == nil {
		state, err = m.virt.State(ctx, m.dom.UUID)
	}
	if err == nil {
		err = m.checkState(state)
	}
	if err == nil {
		err = arrival.KnowsValues(ctx, m.virt, m.host.Config.Name, m.req.Values)
	}
	if err == nil {
		err = m.findGoal(ctx, state)
	}
	if err != nil {
		m.virt.Close()
		return err
	}
	m.flags = m.requestFlags()
	return nil
}

// checkState refuses a guest that can't be migrated from the state that it is in.
func (m *outgoing) checkState(state virt.State) error {
	name, here := m.dom.Name, m.host.Config.Name
	switch {
	case state.Absent && m.req.Offline:
		return nil
	case state.Absent:
		return control.WrongUse("guest %s does not run on %s: only running guests are migrated live; --offline --persistent moves its definition alone", name, here)
	case m.req.PostCopyResume && !state.InPostcopy():
		return control.WrongUse("guest %s is %v on %s: there is no post-copy to resume", name, state, here)
	case m.req.PostCopyResume:
		return nil
	case state.InPostcopy():
		return control.WrongUse("guest %s is %v on %s, with a part of it on another host: `sluice migrate --postcopy-resume %s HOST` goes on with it", name, state, here, name)
	case state.PausedForMigration():
		return control.WrongUse("guest %s is %v on %s: a migration of it is under way, or its outcome was never known, and then it may run on the other host: `sluice status` lists those that sluice asks about. Of others, look there first. If it runs there: `virsh destroy %s` here; if it does not: `virsh resume %s` here",
			name, state, here, name, name)
	}
	return nil
}

// requestFlags are libvirt's flags for what was asked.
func (m *outgoing) requestFlags() libvirt.DomainMigrateFlags {
	flags := libvirt.MigrateChangeProtection
	for flag, asked := range map[libvirt.DomainMigrateFlags]bool{
		libvirt.MigrateLive:                       !m.req.Offline,
		libvirt.MigrateOffline:                    m.req.Offline,
		libvirt.MigratePaused:                     m.req.Suspend,
		libvirt.MigrateCompressed:                 m.req.Compressed,
		libvirt.MigrateAbortOnError:               m.req.AbortOnError,
		libvirt.MigratePersistDest:                m.req.Persistent,
		libvirt.MigrateUndefineSource:             m.req.UndefineSource,
		libvirt.MigrateNonSharedDisk:              m.req.CopyStorage == control.CopyAll,
		libvirt.MigrateNonSharedInc:               m.req.CopyStorage == control.CopyInc,
		libvirt.MigrateNonSharedSynchronousWrites: m.req.Synchronous,
		libvirt.MigratePostcopy:                   m.req.PostCopy || m.req.PostCopyResume || m.goal != nil && m.goal.Postcopy,
		libvirt.MigratePostcopyResume:             m.req.PostCopyResume,
		libvirt.MigrateAutoConverge:               m.req.AutoConverge || m.goal != nil && m.goal.Slow,
		libvirt.MigrateUnsafe:                     m.req.Unsafe,
		libvirt.MigrateParallel:                   m.req.ParallelConnections > 0,
	} {
		if asked {
			flags |= flag
		}
	}
	return flags
}

// run goes through libvirt's five steps. What it opened is gone when it
// returns, on both hosts where both still answer.
func (m *outgoing) run(ctx context.Context) *control.Result {
	defer m.release()
	if err := m.open(ctx); err != nil {
		return m.failed(ctx, err)
	}
	if err := m.prepare(ctx); err != nil {
		if m.begun {
			m.cookie = nil  // the source's own, which libvirt refuses
			m.confirm(true) // ends the job that Begin began
		}
		return m.failed(ctx, err)
	}
	if m.req.Offline {
		return m.finishOffline()
	}
	if err := m.perform(ctx); err != nil {
		return m.giveUp(ctx, err)
	}
	return m.finish()
}

// open makes the session: the sockets for QEMU here, and the peer's half.
func (m *outgoing) open(ctx context.Context) error {
	var err error
	if m.dir, err = m.host.Dir.MakeSession(m.info.ID, -1); err != nil {
		return err
	}
	if m.session, err = m.reach(ctx); err != nil {
		return err
	}
	m.entry.SetChannels(m.session.channelStatus)
	m.host.NoteLimits(m.entry, m.req.Bandwidth)
	m.log.Info().Msg("session opened")
	if m.req.Offline {
		return nil
	}
	for _, kind := range stream.MigrationChannels(m.req.CopyStorage != control.CopyNone) {
		l, err := m.dir.Listen(kind, m.host.QEMUUID)
		if err != nil {
			return err
		}
		context.AfterFunc(m.session.Context(), func() { l.Close() })
		m.sockets.Go(func() {
			join := func(c net.Conn) error { return m.session.join(m.session.Context(), kind, c) }
			if err := m.host.ServeQEMU(m.session.Context(), m.dom.UUID, kind, l, m.log, join); err != nil {
				m.session.Fail(err)
			}
		})
	}
	return nil
}

// prepare is Begin here and Prepare there.
func (m *outgoing) prepare(ctx context.Context) error {
	limit := m.host.Config.Limits.PrepareTimeout
	ctx, stop := context.WithTimeoutCause(ctx, 2*limit, fmt.Errorf("the guest was not prepared within %v (limits.prepare_timeout)", 2*limit))
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.session.Context(), func() { cancel(context.Cause(m.session.Context())) })()

	m.progress(control.PhaseBegin)
	m.params = arrival.Params(m.nameThere(), arrival.At(m.dir), m.req.Bandwidth, m.req.ParallelConnections, m.values())
	if m.req.PersistentXML != "" {
		m.params = append(m.params, arrival.ParamString(libvirt.MigrateParamPersistXML, m.req.PersistentXML))
	}
	begin := m.params
	if m.req.XML != "" { // from here on libvirt's answer stands for it
		begin = append(slices.Clone(begin), arrival.ParamString(libvirt.MigrateParamDestXML, m.req.XML))
	}
	var xml string
	err := m.virt.Bound(ctx, func() (err error) {
		m.cookie, xml, err = m.virt.DomainMigrateBegin3Params(m.dom, begin, uint32(m.flags))
		return err
	})
	if err != nil {
		return m.libvirtCause("beginning the migration", err)
	}
	// From now on libvirt lets no one else change the guest's state.
	m.begun = true
	state, err := m.virt.State(ctx, m.dom.UUID)
	if err != nil {
		return m.libvirtCause("looking at the guest", err)
	}
	if m.paused = state.Paused(); m.paused {
		m.flags |= libvirt.MigratePaused
		if err := m.host.CheckLeaving(ctx, m.dom.UUID); err != nil {
			return &stream.Cause{Code: stream.CodeRefused, Host: m.host.Config.Name, Text: err.Error()}
		}
	}
	if err := m.host.CheckChannels(transfer.ChannelsOf(m.flags, m.req.ParallelConnections, len(m.req.Values.Lists[control.OptionDisks]), xml)); err != nil {
		return m.refusal("%v", err)
	}
	create, paths, err := m.disksToMake(ctx, xml)
	if err != nil {
		return err
	}
	m.progress(control.PhasePrepare)
	var reply arrival.PrepareReply
	call := &arrival.PrepareCall{
		Name:          m.nameThere(),
		XML:           xml,
		Cookie:        m.cookie,
		Flags:         uint32(m.flags &^ libvirt.MigrateAbortOnError), // which an older sluice does not know, and needs not
		Bandwidth:     m.req.Bandwidth,
		Parallel:      m.req.ParallelConnections,
		PersistentXML: m.req.PersistentXML,
		Values:        m.req.Values.Shared(),
		CreateDisks:   create,
	}
	if err := m.session.Call(ctx, call.CallFor(), call, &reply); err != nil {
		return m.prepareFailed(ctx, call, err)
	}
	m.cookie = reply.Cookie
	m.made = slices.DeleteFunc(reply.Made, func(path string) bool { return !slices.Contains(paths, path) })
	m.entry.MadeDisks(m.made)
	return nil
}

// nameThere is the guest's name at the destination.
func (m *outgoing) nameThere() string {
	if m.req.Name != "" {
		return m.req.Name
	}
	return m.dom.Name
}

// release waits until nothing of the session is left here.
func (m *outgoing) release() {
	m.sockets.Wait()
	m.dir.Remove(m.log)
}

// libvirtCause is a failure of this host's libvirt, unless the call was ended
// by what has a cause already.
func (m *outgoing) libvirtCause(doing string, err error) *stream.Cause {
	var c *stream.Cause
	if errors.As(err, &c) {
		return c
	}
	return &stream.Cause{Code: stream.CodeLibvirt, Host: m.host.Config.Name, Text: virt.Words(doing, err)}
}
