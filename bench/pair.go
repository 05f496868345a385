package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// startPatience is how long a relay may take to listen.
const startPatience = 20 * time.Second

// pair is the two relays of one measurement, with the sink's socket.
type pair struct {
	dir   string
	sends *exec.Cmd
	takes *exec.Cmd
	sink  net.Listener
}

// start starts a contender's relays, the receiving one first, and returns when
// both listen.
func (r *run) start(ctx context.Context, c contender) (p *pair, err error) {
	dir, err := os.MkdirTemp(r.dir, "")
	if err != nil {
		return nil, err
	}
	p = &pair{dir: dir}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w%s", err, p.said())
			p.stop()
		}
	}()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if p.sink, err = net.Listen("unix", out); err != nil {
		return p, err
	}
	peer, err := freeAddress()
	if err != nil {
		return p, err
	}
	if p.takes, err = r.relay(ctx, c, &end{name: c.name, local: out, peer: peer, dir: filepath.Join(dir, "b"), certs: r.certs}, peer); err != nil {
		return p, err
	}
	p.sends, err = r.relay(ctx, c, &end{name: c.name, sends: true, local: in, peer: peer, dir: filepath.Join(dir, "a"), certs: r.certs}, in)
	return p, err
}

// freeAddress is one that nobody listens at: in a network of their own the relays
// have all of them, and otherwise nobody is likely to take it meanwhile.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// relay starts one and waits until it listens.
func (r *run) relay(ctx context.Context, c contender, e *end, at string) (*exec.Cmd, error) {
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(e.dir, "output"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(c.program, c.relay(e)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = e.dir, log, log
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+filepath.Join(e.certs, opensslConf))
	if err := r.launcher.start(cmd); err != nil {
		return nil, err
	}
	// Programs have no common way to say that they listen: it is looked for.
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !listens(cmd.Process.Pid, at) {
		if exited(cmd.Process.Pid) {
			return cmd, errors.New("it has ended")
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return cmd, errors.New("it does not listen")
		}
	}
	return cmd, nil
}

// stop ends the relays. Those that have a process for each connection are one
// group.
func (p *pair) stop() {
	for _, cmd := range []*exec.Cmd{p.sends, p.takes} {
		if cmd != nil && cmd.Process != nil {
			unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
			cmd.Wait()
		}
	}
	if p.sink != nil {
		p.sink.Close()
	}
	os.RemoveAll(p.dir)
}

// said is what the relays have printed, for an error.
func (p *pair) said() string {
	var b strings.Builder
	for _, file := range []string{"a/output", "b/output", "a/nginx.log", "b/nginx.log"} {
		text, _ := os.ReadFile(filepath.Join(p.dir, file))
		if text = text[max(0, len(text)-500):]; len(text) > 0 {
			fmt.Fprintf(&b, "\n%s: %s", file, strings.TrimSpace(string(text)))
		}
	}
	return b.String()
}

// stream is a connection through both relays.
type stream struct{ source, sink net.Conn }

func (s stream) close() {
	s.source.Close()
	s.sink.Close()
}

// connect makes one, and tells how long it took until a byte had gone there and
// back.
func (p *pair) connect(deadline time.Time) (s stream, took time.Duration, err error) {
	begun := time.Now()
	if s.source, err = net.Dial("unix", filepath.Join(p.dir, "in")); err != nil {
		return s, 0, err
	}
	defer func() {
		if err != nil {
			s.source.Close()
		}
	}()
	s.source.SetDeadline(deadline)
	// Some connect onwards only when there is something to send.
	if _, err = s.source.Write([]byte{1}); err != nil {
		return s, 0, err
	}
	p.sink.(*net.UnixListener).SetDeadline(deadline)
	if s.sink, err = p.sink.Accept(); err != nil {
		return s, 0, fmt.Errorf("nothing came through: %w", err)
	}
	s.sink.SetDeadline(deadline)
	b := make([]byte, 1)
	for _, step := range []func() error{
		func() error { _, err := io.ReadFull(s.sink, b); return err },
		func() error { _, err := s.sink.Write(b); return err },
		func() error { _, err := io.ReadFull(s.source, b); return err },
	} {
		if err = step(); err != nil {
			s.sink.Close()
			return s, 0, err
		}
	}
	return s, time.Since(begun), nil
}
