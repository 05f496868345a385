package arrival

import (
	"context"
	"errors"
	"fmt"

	"github.com/digitalocean/go-libvirt"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// Steps are a destination's steps of a migration as a libvirt runs them: this host's, or that of a
// host without a sluice. One goroutine uses them.
type Steps struct {
	Virt   *virt.Conn
	UUID   libvirt.UUID
	Flags  libvirt.DomainMigrateFlags
	Params []libvirt.TypedParam // of Prepare and Finish alike
	Calls  []*libvirtrpc.Budget // of which each takes a place; none: as many as there are
}

// Prepare has libvirt start a QEMU that waits for the guest with this description. It returns
// libvirt's cookie, and the URI where QEMU waits, if libvirt says so.
func (s *Steps) Prepare(ctx context.Context, xml string, cookie []byte) (out []byte, uri libvirt.OptString, err error) {
	leave, err := libvirtrpc.TakePlaces(ctx, s.Calls)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	params := append(s.Params[:len(s.Params):len(s.Params)], ParamString(libvirt.MigrateParamDestXML, xml))
	err = s.Virt.Bound(ctx, func() (err error) {
		out, uri, err = s.Virt.DomainMigratePrepare3Params(params, cookie, uint32(s.Flags))
		return err
	})
	return out, uri, err
}

// Finish has libvirt take the guest over, or give it up. When it succeeds in giving up, libvirt
// says so by an error of its own, which is none here.
func (s *Steps) Finish(ctx context.Context, call *FinishCall) (*FinishReply, error) {
	var cancelled int32
	if call.Cancelled {
		cancelled = 1
	}
	leave, err := libvirtrpc.TakePlaces(ctx, s.Calls)
	if err != nil {
		return nil, err
	}
	defer leave()
	var reply FinishReply
	err = s.Virt.Bound(ctx, func() (err error) {
		_, reply.Cookie, err = s.Virt.DomainMigrateFinish3Params(s.Params, call.Cookie, uint32(s.Flags), cancelled)
		return err
	})
	var e libvirt.Error
	if call.Cancelled && errors.As(err, &e) && e.Code == uint32(libvirt.ErrMigrateFinishOk) {
		err = nil
	}
	return &reply, err
}

// Downtime is how long the guest did not run, in nanoseconds; 0 if libvirt does not say.
func (s *Steps) Downtime(ctx context.Context) int64 {
	var stats virt.JobStats
	s.Virt.Bound(ctx, func() error {
		dom, err := s.Virt.DomainLookupByUUID(s.UUID)
		if err == nil {
			stats, _, err = s.Virt.JobStats(dom, libvirt.DomainJobStatsCompleted)
		}
		return err
	})
	return int64(stats.Downtime)
}

// Undetermined tells a Finish of which no one can tell, in words, from one that libvirt has failed
// and undone: empty. cause is the failure as it is told; state and err are what the guest is now.
func Undetermined(cause, failure error, state virt.State, err error) string {
	switch {
	case err != nil:
		return fmt.Sprintf("%v; then: %v", cause, err)
	case !state.Absent, !virt.FromDriver(failure): // which may still come to run, or has
		return fmt.Sprintf("%v; the guest is %v there", cause, state)
	}
	return ""
}

// Where are the URIs of a migration's data, as libvirt is told. An empty one is left out.
type Where struct{ Memory, Disks string }

// At is where a session's sockets are.
func At(dir rundir.SessionDir) Where {
	return Where{"unix://" + dir.SocketPath(stream.ChannelMemory), "unix://" + dir.SocketPath(stream.ChannelDisk)}
}
