package relay

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// watchLinks fails the run when one of its TCP connections has had bytes on their
// way for so long without a sign of the other end, until ctx ends. The kernel takes
// a quarter of an hour for that, and with TCP_USER_TIMEOUT it would end those as
// well whose other end answers, and has no room for more.
func (r *run) watchLinks(ctx context.Context, patience time.Duration) {
	tick := time.NewTicker(max(patience/8, time.Millisecond))
	defer tick.Stop()
	links := []struct {
		side   Side
		socket *socket
		silence
	}{{Local, r.sockets[0], silence{}}, {Remote, r.sockets[1], silence{}}}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for i := range links {
			l := &links[i]
			if l.socket != nil && l.socket.tcp && l.of(l.socket, time.Now()) >= patience {
				r.fail(&Error{l.side, "write", fmt.Errorf("the other end has acknowledged nothing for %v: %w", patience, unix.ETIMEDOUT)})
			}
		}
	}
}

// silence is what was seen of a TCP connection last.
type silence struct {
	acknowledged uint64
	since        time.Time // when it was first seen without an answer; zero if it answers
}

// of is for how long the other end has not answered: bytes were sent again (retransmits), or it was
// asked for room (probes), which one that is alive answers at once.
func (l *silence) of(s *socket, now time.Time) time.Duration {
	var info *unix.TCPInfo
	err := error(unix.EBADF)
	s.rc.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) })
	if err != nil || info.Retransmits == 0 && info.Probes < 2 || info.Bytes_acked != l.acknowledged {
		*l = silence{}
		if err == nil {
			l.acknowledged = info.Bytes_acked
		}
		return 0
	}
	if l.since.IsZero() {
		l.since = now
	}
	return now.Sub(l.since)
}
