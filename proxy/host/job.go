package host

import (
	"cmp"
	"context"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// CallProgress is the call by which a source tells its destination how far a migration is. An older
// sluice does not know it, which changes nothing.
const CallProgress = "progress"

// jobInterval is how often libvirt is asked for its figures. A query goes to QEMU's monitor; virsh
// asks as often.
const jobInterval = 500 * time.Millisecond

// Job is a migration away from this host, of whose progress libvirt here knows.
type Job struct {
	Guest libvirt.Domain // its name may be another's at the destination
	Entry *session.Entry

	// Tell makes a call of the session's; nil where there is no sluice to tell.
	Tell func(ctx context.Context, name string, in, out any) error
	// Each, if set, is handed the figures, besides the entry. It must not wait.
	Each func(virt.JobStats)
	// Look, if set, asks libvirt for more after each query that has figures.
	Look func(*virt.Conn, virt.JobStats)
	// Until, if closed, ends the asking once the query under way is answered.
	Until <-chan struct{}
	// Every is how often libvirt is asked, where that is oftener than usual.
	Every time.Duration
}

// FollowJob asks libvirt for a migration's figures until ctx or j.Until ends. One query at a time is
// under way, over a connection of its own: if libvirtd is busy the figures are older, and nothing
// waits for them.
func (h *Host) FollowJob(ctx context.Context, j Job) {
	ctx, cancel := context.WithCancel(ctx)
	latest := make(chan virt.JobStats, 1)
	telling := make(chan struct{})
	go func() {
		defer close(telling)
		j.tell(ctx, latest)
	}()
	defer func() {
		cancel()
		<-telling
	}()
	h.noteStayed(ctx, j.Guest)
	var told time.Time // when figures were last handed to tell
	again := time.NewTicker(cmp.Or(j.Every, jobInterval))
	defer again.Stop()
	conn := &virt.LazyConn{Libvirt: h.Libvirt}
	defer conn.Close()
	for {
		select {
		case <-again.C:
		case <-j.Until:
			return
		case <-ctx.Done():
			return
		}
		var st virt.JobStats
		var under bool
		err := conn.Call(ctx, func(v *virt.Conn) (err error) {
			if st, under, err = v.JobStats(j.Guest, 0); err == nil && under && j.Look != nil {
				j.Look(v, st)
			}
			return err
		})
		if err != nil || !under || ctx.Err() != nil {
			continue // no job yet, or none any more
		}
		j.Entry.SetStats(st)
		if j.Each != nil {
			j.Each(st)
		}
		now := time.Now()
		if now.Sub(told) < jobInterval*9/10 { // ticks are not to the millisecond
			continue
		}
		told = now
		select {
		case <-latest: // that nobody was told in time
		default:
		}
		latest <- st
	}
}

// tell passes on the latest figures. One call at a time is under way.
func (j *Job) tell(ctx context.Context, latest <-chan virt.JobStats) {
	for {
		select {
		case st := <-latest:
			if j.Tell == nil || j.Tell(ctx, CallProgress, &st, nil) != nil {
				return // it does not know the call, or the session is over
			}
		case <-ctx.Done():
			return
		}
	}
}

// TakeProgress is a destination's half of CallProgress. A peer's figures are for display alone.
func TakeProgress(e *session.Entry, body []byte) error {
	var st virt.JobStats
	if err := msgpack.Unmarshal(body, &st); err != nil {
		return &stream.Cause{Code: stream.CodeRefused, Text: "read the call " + CallProgress + ": " + err.Error()}
	}
	e.SetStats(st)
	return nil
}
