package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/handover"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// beginGrace is how long a process that has been followed lets clients begin migrations that
// connected to it before. libvirt's clients connect and begin within a second.
const beginGrace = 30 * time.Second

// askTimeout bounds a question to an earlier process, for status.
const askTimeout = 2 * time.Second

// controlSuffix is that of the name of a process's own control socket, beside the one by which the
// processes find each other.
const controlSuffix = ".control"

// earlier are the processes of this host's sluice that lived when this one began to follow. all is
// set before anything is served, and not changed.
type earlier struct{ all []*handover.Earlier }

// living are those that have not ended.
func (e *earlier) living() (all []*handover.Earlier) {
	for _, p := range e.all {
		select {
		case <-p.Gone():
		default:
			all = append(all, p)
		}
	}
	return all
}

func (e *earlier) lives(process string) bool {
	return slices.ContainsFunc(e.living(), func(p *handover.Earlier) bool { return p.ID == process })
}

// over is closed when none lives.
func (e *earlier) over() <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for _, p := range e.living() {
			<-p.Gone()
		}
	}()
	return over
}

func (e *earlier) pids() (all []int) {
	for _, p := range e.living() {
		all = append(all, p.PID)
	}
	return all
}

func (e *earlier) stop(now bool) {
	for _, p := range e.living() {
		p.Stop(now)
	}
}

// close lets go of them all.
func (e *earlier) close() {
	for _, p := range e.living() {
		p.Close()
	}
}

// openRunDir takes the run folder, or takes it over from a process that lives and has it, with its
// sockets. Then taking is not nil, and that process serves until taking.Serve.
func (d *Daemon) openRunDir() (taking *handover.Taking, err error) {
	d.Dir, err = rundir.Open(d.now().Config.RunDir)
	if !errors.Is(err, rundir.ErrInUse) || !d.following {
		return nil, err
	}
	all, findErr := handover.Find(filepath.Join(d.now().Config.RunDir, rundir.ProcessesDir))
	d.earlier.all = all
	if findErr != nil || len(all) == 0 { // a sluice that knows nothing of this
		d.earlier.close()
		return nil, errors.Join(err, findErr)
	}
	from := all[0] // the last of those that have been followed, whose follower was killed
	if i := slices.IndexFunc(all, func(p *handover.Earlier) bool { return p.Serving }); i >= 0 {
		from = all[i]
	}
	if taking, err = from.Take(d.Sockets); err == nil {
		d.Dir, err = rundir.Follow(d.now().Config.RunDir, taking.Lock)
	}
	if err != nil {
		if taking != nil {
			taking.Close()
		}
		d.Sockets.Close()
		d.earlier.close()
		return nil, err
	}
	go func() { // it gives nothing any more once it has ended
		<-from.Gone()
		taking.Close()
	}()
	d.now().Peers.Recall(d.Dir.Peers())
	d.Log.Info().Int("process", from.PID).Str("version", from.Version).Msg("following a sluice that runs; it serves until this one is ready")
	return taking, nil
}

// takeTurn has the earlier process stop accepting. If that was killed meanwhile it is this one's turn
// all the same, unless a third lives, from which somebody else may be taking the sockets.
func (d *Daemon) takeTurn(ctx context.Context, taking *handover.Taking) error {
	err := taking.Serve(ctx)
	if errors.Is(err, handover.ErrGone) && len(d.earlier.living()) == 0 {
		return nil
	}
	return err
}

// answerProcesses answers other processes of this host's sluice, until what is returned is called.
// To them this process has ended then.
func (d *Daemon) answerProcesses() (ended func(), err error) {
	d.offer.Lock = d.Dir.Lock()
	l, err := d.Dir.ListenPackets(filepath.Join(rundir.ProcessesDir, handover.SocketName(d.process.ID)), -1, 0o600)
	if err != nil {
		return nil, err
	}
	var answering sync.WaitGroup
	answering.Go(func() { d.offer.Serve(l) })
	return func() {
		l.Close()
		answering.Wait()
	}, nil
}

// listenForProcesses opens the control socket that is this process's own, whoever serves.
func (d *Daemon) listenForProcesses() (host.LocalListener, error) {
	l, err := d.Dir.Listen(filepath.Join(rundir.ProcessesDir, d.process.ID+controlSuffix), -1, 0o600)
	callers := d.callers(l)
	callers.Own = true
	return callers, err
}

// attend sees to what earlier processes leave behind: their guests are taken up when they end, and
// nothing of them stays in the run folder. It comes before this process accepts, so that no other
// makes sockets there meanwhile, to follow this one.
func (d *Daemon) attend(ctx context.Context) {
	d.linkPeers()
	if err := d.Dir.SweepProcesses(func(name string) bool {
		process, _, _ := strings.Cut(name, ".")
		return process == d.process.ID || d.earlier.lives(process)
	}); err != nil {
		d.Log.Warn().Err(err).Msg("the sockets of processes of sluice that were killed")
	}
	for _, p := range d.earlier.all { // also one that has ended since Departures.Start asked
		d.Work.Go(func() {
			select {
			case <-p.Gone():
			case <-ctx.Done():
				return
			}
			d.offer.IfServing(func() { d.takeUp(p) }) // else the later process sees to it
		})
	}
}

// takeUp sees to what one process that has ended has left.
func (d *Daemon) takeUp(p *handover.Earlier) {
	d.Log.Info().Int("process", p.PID).Msg("an earlier sluice has ended")
	if err := d.Departures.Adopt(); err != nil {
		d.Log.Error().Err(err).Msg("the guests that an earlier sluice has left")
	}
	d.adoptHistory()
	d.Dir.Remove(filepath.Join(rundir.ProcessesDir, handover.SocketName(p.ID)))
	d.Dir.Remove(filepath.Join(rundir.ProcessesDir, p.ID+controlSuffix))
	if len(d.earlier.living()) > 0 {
		return
	}
	if err := d.Dir.SweepSessions(); err != nil {
		d.Log.Warn().Err(err).Msg("the folders of an earlier sluice's sessions")
	}
}

// elsewhere implements peer.Set's Elsewhere.
func (d *Daemon) elsewhere(ctx context.Context, c *net.TCPConn, record []byte) bool {
	all := d.earlier.living()
	if len(all) == 0 {
		return false
	}
	mark := peer.MarkIn(record)
	return mark != "" && !d.has(mark) && passOn(ctx, all, c, mark, nil)
}

// clearElsewhere implements stream.Acceptor's Elsewhere.
func (d *Daemon) clearElsewhere(conn relay.Conn, session string, open []byte) bool {
	all := d.earlier.living()
	c, is := conn.(interface{ NetConn() net.Conn })
	if len(all) == 0 || !is {
		return false
	}
	tcp, is := c.NetConn().(*net.TCPConn)
	return is && passOn(d.working, all, tcp, peer.SessionMark(session), open)
}

func passOn(ctx context.Context, all []*handover.Earlier, c *net.TCPConn, mark string, open []byte) bool {
	return slices.ContainsFunc(all, func(p *handover.Earlier) bool { return p.Pass(ctx, c, mark, open) })
}

// has says whether a session is here, or awaited.
func (d *Daemon) has(mark string) bool {
	ids := append(d.acceptor.IDs(), d.now().arrivals.Pulls.IDs()...)
	ids = append(ids, d.Sessions.IDs()...) // a question may be about one that was opened here
	return slices.ContainsFunc(ids, func(id string) bool { return peer.SessionMark(id) == mark })
}

// passed serves a connection that a later process has accepted, if its session is here.
func (d *Daemon) passed(c *net.TCPConn, mark string, open []byte) bool {
	if !d.has(mark) {
		return false
	}
	d.Work.Go(func() {
		if open == nil {
			d.servePeer(d.working, c)
		} else if err := d.acceptor.ServeClear(d.working, relay.Plain(c), open, d.terms(d.now(), stream.Who{}, "")); err != nil {
			d.Log.Warn().Stringer("address", c.RemoteAddr()).Err(err).Msg("channel refused")
		}
	})
	return true
}

// askedToStop is how the process that has followed this one has it end.
func (d *Daemon) askedToStop(now bool) {
	select {
	case d.stopAsked <- now:
	default:
	}
}

// stops are Run's ctx and drain, which the process that has followed this one can end as well. done
// is called when nothing is left to stop.
func (d *Daemon) stops(ctx context.Context, drain <-chan struct{}) (_ context.Context, either <-chan struct{}, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	draining := make(chan struct{})
	d.Work.Go(func() {
		begin := sync.OnceFunc(func() { close(draining) })
		for {
			select {
			case <-drain:
				drain = nil
				begin()
			case now := <-d.stopAsked:
				begin()
				if now {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, draining, cancel
}

const followedWords = "another sluice serves from now on; this one finishes what it has"

// finishFollowed is what is left to do once another process serves: to finish what this one has.
// What may be idle for long, as connections of libvirt's clients are, ends soon.
func (d *Daemon) finishFollowed(ctx context.Context, drain <-chan struct{}) {
	d.Log.Info().Msg(followedWords)
	grace := time.NewTimer(beginGrace)
	defer grace.Stop()
	select {
	case <-grace.C:
	case <-drain:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-d.Sessions.Drain():
	case <-drain:
	case <-ctx.Done():
	}
}

// addEarlier adds to a status what earlier processes still do.
func (d *Daemon) addEarlier(st *control.Status) {
	select {
	case <-d.offer.Handed: // the later process asks them itself
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	for _, p := range d.earlier.living() {
		e := control.EarlierStatus{PID: p.PID, Version: p.Version, Started: p.Started}
		theirs, err := d.clientOf(p).Status(ctx)
		if err != nil {
			e.Error = err.Error()
		} else {
			e.Sessions = len(theirs.Sessions)
			st.Sessions = append(theirs.Sessions, st.Sessions...)
			st.Leaving = append(theirs.Leaving, st.Leaving...)
		}
		st.Earlier = append(st.Earlier, e)
	}
}

func (d *Daemon) clientOf(p *handover.Earlier) *control.Client {
	return control.New(d.Dir.Path(filepath.Join(rundir.ProcessesDir, p.ID+controlSuffix)))
}

// earlierWith is the earlier process that has a guest, or the session of that ID, or nil.
func (d *Daemon) earlierWith(ctx context.Context, guest string) *control.Client {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, p := range d.earlier.living() {
		c := d.clientOf(p)
		st, err := c.Status(ctx)
		if err != nil {
			d.Log.Warn().Err(err).Msg(fmt.Sprintf("ask the earlier sluice (process %d)", p.PID))
			continue
		}
		if slices.ContainsFunc(st.Leaving, func(l control.DepartureStatus) bool { return l.Guest == guest || l.UUID == guest }) ||
			slices.ContainsFunc(st.Sessions, func(s control.SessionStatus) bool { return s.Is(guest) }) {
			return c
		}
	}
	return nil
}
