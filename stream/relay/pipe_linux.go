package relay

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is the largest pipe that an unprivileged process may have
	// (fs.pipe-max-size's default).
	pipeSize = 1 << 20
	// idlePipes bounds the empty pipes kept for later, two fds each.
	idlePipes = 16
)

// pipe is where spliced bytes stay between two sockets.
type pipe struct {
	r, w int
	data int // bytes inside
}

var pipes struct {
	sync.Mutex
	free []*pipe
}

// getPipe returns an empty pipe, which the caller gives back with putPipe.
func getPipe() (*pipe, error) {
	pipes.Lock()
	if n := len(pipes.free); n > 0 {
		p := pipes.free[n-1]
		pipes.free = pipes.free[:n-1]
		pipes.Unlock()
		return p, nil
	}
	pipes.Unlock()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	// Beyond fs.pipe-user-pages-soft this fails; a small pipe works, slower.
	unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	return &pipe{r: fds[0], w: fds[1]}, nil
}

// putPipe keeps an empty pipe and closes any other: bytes of one stream must
// never come out in another.
func putPipe(p *pipe) {
	if p.data == 0 {
		pipes.Lock()
		if len(pipes.free) < idlePipes {
			pipes.free = append(pipes.free, p)
			p = nil
		}
		pipes.Unlock()
	}
	if p != nil {
		unix.Close(p.r)
		unix.Close(p.w)
	}
}
