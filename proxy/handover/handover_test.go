package handover

import (
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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process is one process of a host's sluice, with a listening socket that answers with its name.
type process struct {
	offer   *Offer
	sockets *Sockets
	own     *net.UnixListener
	over    chan struct{}
	passed  chan *net.TCPConn
}

// begin opens the sockets of a process that does not accept yet.
func begin(t *testing.T, folder, id, port string, sockets *Sockets) *process {
	t.Helper()
	p := &process{sockets: sockets, over: make(chan struct{}), passed: make(chan *net.TCPConn, 1)}
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
		Process: Process{ID: id, PID: os.Getpid(), Started: time.Now()}, Sockets: sockets, Lock: lock, Log: zerolog.Nop(),
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
	taking.Lock.Close()
	taking.Close()
	if who := answers(t, address); who != "first" {
		t.Errorf("%s answers", who)
	}

	// One that serves.
	sockets := NewSockets()
	from := find(t, folder, "first")
	taking = take(t, from, sockets)
	second := begin(t, folder, "second", address, sockets)
	if err := taking.Serve(t.Context(), sockets.Names()); err != nil {
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
	if from.Pass(c, "nobody", nil) {
		t.Error("a connection of nobody's is taken")
	}
	if !from.Pass(c, "first", nil) {
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
	taking.Close()
	queued, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("refused while nobody serves: %v", err)
	}
	defer queued.Close()
	sockets = NewSockets()
	taking = take(t, find(t, folder, "first"), sockets)
	defer taking.Close()
	third := begin(t, folder, "third", address, sockets)
	defer third.ends()
	if err := taking.Serve(t.Context(), sockets.Names()); err != nil {
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
	defer taking.Close()
	first.offer.Ending()
	if err := taking.Serve(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "it has ended just now") {
		t.Errorf("%v", err)
	}
	select {
	case <-first.offer.Handed:
		t.Error("handed over")
	default:
	}
	c, _ := connection(t)
	defer c.Close()
	if from.Pass(c, "first", nil) {
		t.Error("a connection is taken at the end")
	}
}

// take takes from a process, once that has noticed that an earlier taker is gone.
func take(t *testing.T, from *Earlier, sockets *Sockets) *Taking {
	t.Helper()
	for late := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		taking, err := from.Take(sockets)
		if err == nil {
			t.Cleanup(func() { taking.Lock.Close() })
			return taking
		}
		if time.Now().After(late) {
			t.Fatal(err)
		}
	}
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

// What a process that was killed has left is passed over, and removed.
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
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket: %v", err)
	}
}
