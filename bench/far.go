package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Far is the sink's side of a run, called by net/rpc: in the same process where
// there is one machine, over a command's standard input and output where there
// are two. It holds one relay at a time.
type Far struct {
	opts     Options // Sluice and Tools
	launcher *launcher
	dir      string

	relay   *exec.Cmd
	sink    net.Listener
	arrived *arrivals
}

// FarHello is what the far side has.
type FarHello struct {
	Machine Machine
	Network string
	There   []string // contenders that are installed
}

// FarOpen starts a relay.
type FarOpen struct {
	Contender string
	Host      string // to listen at
	Certs     map[string][]byte
	Within    time.Duration // for all that is done with it
}

// FarBulk is a piece of bulk work: what each stream brings, and takes back.
type FarBulk struct {
	Each int64
	Both bool
}

// FarEcho is a ping-pong.
type FarEcho struct{ Size, Times int }

// FarUsage is what the relay has used.
type FarUsage struct {
	CPU  time.Duration
	Peak int64
}

// None is for calls without arguments or results.
type None struct{}

// ServeFar serves one run on conn until that ends.
func ServeFar(conn io.ReadWriteCloser, o Options) error {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f := &Far{opts: o, launcher: newLauncher(false), dir: dir}
	defer f.launcher.close()
	defer f.Close(None{}, nil)
	f.serve(conn)
	return nil
}

func (f *Far) serve(conn io.ReadWriteCloser) {
	s := rpc.NewServer()
	s.RegisterName("Far", f)
	s.ServeConn(conn)
}

// Hello tells what there is here.
func (f *Far) Hello(_ None, reply *FarHello) error {
	there, _ := f.opts.installed()
	*reply = FarHello{Machine: ThisMachine(), Network: f.launcher.where}
	for _, c := range there {
		reply.There = append(reply.There, c.name)
	}
	return nil
}

// Open starts a contender's relay, and replies with the address it listens at.
func (f *Far) Open(args FarOpen, peer *string) error {
	f.Close(None{}, nil)
	there, _ := f.opts.installed()
	i := -1
	for k, c := range there {
		if c.name == args.Contender {
			i = k
		}
	}
	if i < 0 {
		return fmt.Errorf("%q is not installed", args.Contender)
	}
	dir := filepath.Join(f.dir, "far")
	certs := filepath.Join(f.dir, "certs")
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700), writeFiles(certs, args.Certs)); err != nil {
		return err
	}
	out := filepath.Join(dir, "out")
	var err error
	if f.sink, err = net.Listen("unix", out); err != nil {
		return err
	}
	f.arrived = &arrivals{deadline: time.Now().Add(args.Within)}
	go f.arrived.accept(f.sink)
	if *peer, err = freeAddress(args.Host); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	f.relay, err = f.launcher.relay(ctx, there[i], &end{name: args.Contender, local: out, peer: *peer, dir: filepath.Join(dir, "relay"), certs: certs}, *peer)
	if err != nil {
		return fmt.Errorf("%w%s", err, said(filepath.Join(dir, "relay")))
	}
	return nil
}

// Bulk does the sink's part of a piece of work, with every stream that came.
func (f *Far) Bulk(args FarBulk, _ *None) error {
	var wg sync.WaitGroup
	streams, err := f.arrived.all()
	errs := make(chan error, 2*len(streams))
	for _, c := range streams {
		wg.Go(func() { errs <- receive(c, args.Each) })
		if args.Both {
			wg.Go(func() { errs <- send(c, args.Each) })
		}
	}
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// Echo sends back what comes on the first stream.
func (f *Far) Echo(args FarEcho, _ *None) error {
	streams, err := f.arrived.all()
	if err != nil {
		return err
	}
	buf := make([]byte, args.Size)
	for range args.Times {
		if _, err := io.ReadFull(streams[0], buf); err != nil {
			return err
		}
		if _, err := streams[0].Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// Usage tells what the relay has used so far.
func (f *Far) Usage(_ None, reply *FarUsage) error {
	u, err := usageOf(f.relay.Process.Pid)
	*reply = FarUsage{u.cpu, u.peak}
	return err
}

// Said replies with what the relay has printed, for an error.
func (f *Far) Said(_ None, reply *string) error {
	*reply = said(filepath.Join(f.dir, "far", "relay"))
	return nil
}

// Close ends the relay and its streams.
func (f *Far) Close(None, *None) error {
	stopRelay(f.relay)
	f.relay = nil
	if f.sink != nil {
		f.sink.Close()
		f.arrived.close()
		f.sink = nil
	}
	return nil
}

// arrivals are the streams that have come through, each of which has had its first byte sent back.
type arrivals struct {
	deadline time.Time

	mu      sync.Mutex
	streams []net.Conn
	err     error
}

func (a *arrivals) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.SetDeadline(a.deadline)
		a.mu.Lock()
		a.streams = append(a.streams, c)
		a.mu.Unlock()
		go func() {
			b := make([]byte, 1)
			_, err := io.ReadFull(c, b)
			if err == nil {
				_, err = c.Write(b)
			}
			if err != nil {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.err = errors.Join(a.err, err)
			}
		}()
	}
}

func (a *arrivals) all() ([]net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil && len(a.streams) == 0 {
		return nil, errors.New("no stream has come through")
	}
	return a.streams, a.err
}

func (a *arrivals) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.streams {
		c.Close()
	}
}

// freeAddress is one that nobody listens at: in a network of their own the relays
// have all of them, and otherwise nobody is likely to take it meanwhile.
func freeAddress(host string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	defer l.Close()
	return net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port)), nil
}

// stopRelay ends a relay. Those that have a process for each connection are one group.
func stopRelay(cmd *exec.Cmd) {
	if cmd != nil && cmd.Process != nil {
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		cmd.Wait()
	}
}
