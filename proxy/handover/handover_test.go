package handover

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process is one process of a host's sluice, with a listening socket that answers with its name.
type process struct {
	offer   *Offer
	log     lines
	sockets *Sockets
	own     *net.UnixListener
	over    chan struct{}
	passed  chan *net.TCPConn
}

// begin opens the sockets of a process that does not accept yet.
func begin(t *testing.T, folder, id, port string, sockets *Sockets) *process {
	t.Helper()
	p := &process{sockets: sockets, log: make(lines, 16), over: make(chan struct{}), passed: make(chan *net.TCPConn, 1)}
	var err error
	if p.own, err = net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: filepath.Join(folder, SocketName(id))}); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	l, err := sockets.Listen("port", func() (net.Listener, error) { return net.Listen("tcp", port) })
	if err != nil {
		t.Fatal(err)
	}
	p.offer = &Offer{
		Process: Process{ID: id, PID: os.Getpid(), Started: time.Now()}, Sockets: sockets, Lock: lock, Log: zerolog.New(p.log),
		Pass: func(c *net.TCPConn, mark string, _ []byte) bool {
			if mark == id {
				p.passed <- c
			}
			return mark == id
		},
		Stop: func(bool) {}, Handed: make(chan struct{}),
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, id)
			c.Close()
		}
	}()
	go func() {
		defer close(p.over)
		p.offer.Serve(p.own)
	}()
	return p
}

// lines are what a process logs.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// ends is the end of a process, orderly or not.
func (p *process) ends() {
	p.own.Close()
	<-p.over
	p.sockets.Close()
}

// answers is who accepts at an address.
func answers(t *testing.T, address string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	who, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(who)
}

// find is the one process that the sockets are to be taken from.
func find(t *testing.T, folder, want string) *Earlier {
	t.Helper()
	all, err := Find(folder)
	if err != nil {
		t.Fatal(err)
	}
	var from *Earlier
	for _, p := range all {
		t.Cleanup(p.Close)
		if p.ID == want {
			from = p
		}
	}
	if from == nil {
		t.Fatalf("%s is not among %d processes", want, len(all))
	}
	return from
}

// One process follows another: it may fail before it serves, and be killed after that.
func TestFollow(t *testing.T) {
	folder := t.TempDir()
	first := begin(t, folder, "first", "127.0.0.1:0", NewSockets())
	defer first.ends()
	first.sockets.Accept()
	first.offer.Accepting.Store(true)
	address := first.sockets.listeners["port"].Addr().String()
	if who := answers(t, address); who != "first" {
		t.Fatalf("%s answers", who)
	}

	// One that fails has changed nothing.
	failing := NewSockets()
	taking, err := find(t, folder, "first").Take(failing)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := find(t, folder, "first").Take(NewSockets()); err == nil {
		t.Error("two take at once")
	}
	failing.Close()
	taking.ends()
	if who := answers(t, address); who != "first" {
		t.Errorf("%s answers", who)
	}

	// One that serves.
	sockets := NewSockets()
	from := find(t, folder, "first")
	taking = take(t, from, sockets)
	second := begin(t, folder, "second", address, sockets)
	if err := taking.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-first.offer.Handed
	waiting, err := net.Dial("tcp", address) // while nobody accepts
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	defer waiting.Close()
	sockets.Accept()
	waiting.SetDeadline(time.Now().Add(10 * time.Second))
	if who, err := io.ReadAll(waiting); string(who) != "second" || err != nil {
		t.Errorf("%s answers, %v", who, err)
	}

	// A connection of the first's, of nobody's.
	c, far := connection(t)
	if from.Pass(t.Context(), c, "nobody", nil) {
		t.Error("a connection of nobody's is taken")
	}
	if !from.Pass(t.Context(), c, "first", nil) {
		t.Fatal("a connection of the first's is not taken")
	}
	c.Close()
	got := <-first.passed
	io.WriteString(got, "served")
	got.Close()
	if said, err := io.ReadAll(far); string(said) != "served" || err != nil {
		t.Errorf("%q, %v", said, err)
	}

	// It is killed; the third takes the sockets from the first, which has kept them.
	second.ends()
	taking.ends()
	queued, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("refused while nobody serves: %v", err)
	}
	defer queued.Close()
	sockets = NewSockets()
	taking = take(t, find(t, folder, "first"), sockets)
	defer taking.ends()
	third := begin(t, folder, "third", address, sockets)
	defer third.ends()
	if err := taking.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	sockets.Accept()
	queued.SetDeadline(time.Now().Add(10 * time.Second))
	if who, err := io.ReadAll(queued); string(who) != "third" || err != nil {
		t.Errorf("%s answers, %v", who, err)
	}
}

// One that ends lets nobody take over any more, and takes no connection.
func TestEnding(t *testing.T) {
	folder := t.TempDir()
	first := begin(t, folder, "first", "127.0.0.1:0", NewSockets())
	defer first.ends()
	first.sockets.Accept()
	first.offer.Accepting.Store(true)
	sockets := NewSockets()
	defer sockets.Close()
	from := find(t, folder, "first")
	taking := take(t, from, sockets)
	defer taking.ends()
	first.offer.Ending()
	if err := taking.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "it has ended just now") {
		t.Errorf("%v", err)
	}
	select {
	case <-first.offer.Handed:
		t.Error("handed over")
	default:
	}
	c, _ := connection(t)
	defer c.Close()
	if from.Pass(t.Context(), c, "first", nil) {
		t.Error("a connection is taken at the end")
	}
}

// What the later process gives up the earlier one does not hold on to.
func TestGivingUp(t *testing.T) {
	folder := t.TempDir()
	first := begin(t, folder, "first", "127.0.0.1:0", NewSockets())
	defer first.ends()
	open := func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
	if _, err := first.sockets.Listen("another", open); err != nil {
		t.Fatal(err)
	}
	first.sockets.Accept()
	first.offer.Accepting.Store(true)
	sockets := NewSockets()
	taking := take(t, find(t, folder, "first"), sockets)
	second := begin(t, folder, "second", "", sockets)
	another, err := sockets.Listen("another", open)
	if err != nil {
		t.Fatal(err)
	}
	if err := taking.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	sockets.Accept()
	another.Close()
	port := sockets.listeners["port"].Addr().String()
	second.ends()
	taking.ends()
	if c, err := net.Dial("tcp", another.Addr().String()); err == nil {
		c.Close()
		t.Error("somebody listens at what was given up")
	}
	c, err := net.Dial("tcp", port)
	if err != nil {
		t.Fatalf("refused while nobody serves: %v", err)
	}
	c.Close()
}

// One that is killed while it is followed has not handed over.
func TestKilledWhileFollowed(t *testing.T) {
	folder := t.TempDir()
	first := begin(t, folder, "first", "127.0.0.1:0", NewSockets())
	first.sockets.Accept()
	first.offer.Accepting.Store(true)
	sockets := NewSockets()
	defer sockets.Close()
	taking := take(t, find(t, folder, "first"), sockets)
	defer taking.ends()
	first.ends()
	if err := taking.Serve(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
}

func take(t *testing.T, from *Earlier, sockets *Sockets) *Taking {
	t.Helper()
	taking, err := from.Take(sockets)
	if err != nil {
		t.Fatal(err)
	}
	return taking
}

// ends is the end of a process that has taken, and returns once the other has noticed.
func (t *Taking) ends() {
	t.Lock.Close()
	t.conn.CloseWrite()
	read(t.conn) // until the other closes its end
	t.Close()
}

// connection is two ends of one.
func connection(t *testing.T) (near *net.TCPConn, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), far
}

// A process that hangs keeps nobody waiting for longer than whoever asks can bear.
func TestPassToOneThatHangs(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, SocketName("frozen"))
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: path}) // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, _ := connection(t)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	if (&Earlier{path: path}).Pass(ctx, c, "frozen", nil) {
		t.Error("it is said to have taken the connection")
	}
	if ctx.Err() != nil {
		t.Error("nothing is left of the time that there was")
	}
}

// What a process that was killed has left is passed over.
func TestFindAfterKill(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, SocketName("dead"))
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if all, err := Find(folder); len(all) != 0 || err != nil {
		t.Errorf("%d processes, %v", len(all), err)
	}
}

// A process that is out of descriptors has not ended: others wait, and are answered once there are
// some again.
func TestOutOfDescriptors(t *testing.T) {
	folder := t.TempDir()
	first := begin(t, folder, "first", "127.0.0.1:0", NewSockets())
	defer first.ends()
	earlier := find(t, folder, "first")
	c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	err = unix.Connect(c, &unix.SockaddrUnix{Name: earlier.path})
	said := <-first.log
	if back := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || back != nil {
		t.Fatal(err, back)
	}
	if !strings.Contains(said, "too many open files") {
		t.Errorf("it says %s", said)
	}
	select {
	case <-earlier.Gone():
		t.Error("it is taken for one that has ended")
	default:
	}
	find(t, folder, "first")
}
