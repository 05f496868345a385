package tunnel

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// inherit makes of a descriptor one that a process was started with.
func inherit(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, 10)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func inheritFile(t *testing.T, f interface{ File() (*os.File, error) }) int {
	t.Helper()
	file, err := f.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return inherit(t, int(file.Fd()))
}

func inheritPipe(t *testing.T) (r, w int, mine [2]*os.File) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pr.Close(); pw.Close() })
	return inherit(t, int(pr.Fd())), inherit(t, int(pw.Fd())), [2]*os.File{pr, pw}
}

func fds(n ...int) spec.Address {
	if len(n) == 2 {
		return spec.Address{Kind: spec.FD, At: fmt.Sprintf("%d,%d", n[0], n[1])}
	}
	return spec.Address{Kind: spec.FD, At: fmt.Sprint(n[0])}
}

func socketpair(t *testing.T) (ours socket, theirs int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs = inherit(t, pair[1])
	unix.Close(pair[1])
	f := os.NewFile(uintptr(pair[0]), "ours")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return own(t, c), theirs
}

// A listening socket, as systemd gives it: any number of connections.
func TestInheritedListener(t *testing.T) {
	s := newSite(t)
	for _, kind := range []spec.Kind{spec.TCP, spec.Unix} {
		at := loopback(kind)
		if kind == spec.Unix {
			at = s.path("listening")
		}
		sock, in := target(t, at)
		out, to := target(t, s.path("out"+string(kind)))
		n := inheritFile(t, sock.(interface{ File() (*os.File, error) }))
		if u, ok := sock.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		sock.Close()
		r := serve(t, Options{Spec: spec.Spec{Listen: fds(n), To: to}})
		for range 3 {
			client := dial(t, in)
			client.Write([]byte("hello"))
			server := accept(t, out)
			wantRead(t, server, "hello")
			client.Close()
			server.Close()
			if rep := r.end(); rep.Err != nil || rep.Path != "splice" {
				t.Errorf("%+v", rep)
			}
		}
	}
}

// A stream to listen to or to connect to is one connection, and the tunnel ends with it.
func TestInheritedStream(t *testing.T) {
	s := newSite(t)
	a, n := socketpair(t)
	b, m := socketpair(t)
	r := serve(t, Options{Spec: spec.Spec{Listen: fds(n), To: fds(m)}})
	a.Write([]byte("there"))
	wantRead(t, b, "there")
	a.CloseWrite()
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read %v", err)
	}
	b.Write([]byte("and back"))
	wantRead(t, a, "and back")
	b.Close()
	if err := <-r.over; err != nil {
		t.Error(err)
	}
	if rep := r.end(); rep.Err != nil || rep.Path != "splice" || rep.Sent != 5 || rep.Received != 8 {
		t.Errorf("%+v", rep)
	}

	// The first client takes it; there is no listening any more.
	c, n := socketpair(t)
	r = serve(t, Options{Spec: spec.Spec{Listen: s.path("in"), To: fds(n)}})
	client := dial(t, r.Address())
	client.Write([]byte("first"))
	wantRead(t, c, "first")
	if _, err := net.Dial("unix", s.path("in").At); err == nil {
		t.Error("a second client was let in")
	}
	client.Close()
	c.Close()
	if err := <-r.over; err != nil {
		t.Error(err)
	}
}

// One pipe is one direction; two are both, and their ends half-close.
func TestInheritedPipes(t *testing.T) {
	s := newSite(t)
	l, to := target(t, s.path("out"))
	pr, pw, ours := inheritPipe(t)
	unix.Close(pw)
	ours[0].Close()
	r := serve(t, Options{Spec: spec.Spec{Listen: fds(pr), To: to}})
	server := accept(t, l)
	ours[1].WriteString("one way")
	ours[1].Close()
	if got, err := io.ReadAll(server); err != nil || string(got) != "one way" {
		t.Errorf("%q, %v", got, err)
	}
	server.Close()
	if err := <-r.over; err != nil {
		t.Error(err)
	}

	// What comes the other way has nowhere to go, and is not lost in silence.
	pr, pw, ours = inheritPipe(t)
	unix.Close(pw)
	r = serve(t, Options{Spec: spec.Spec{Listen: fds(pr), To: to}})
	server = accept(t, l)
	server.Write([]byte("back"))
	if err := <-r.over; !needs.ErrorSays(err, "cannot be written to") {
		t.Error(err)
	}

	in, inW, mine := inheritPipe(t)
	outR, out, its := inheritPipe(t)
	unix.Close(inW)
	unix.Close(outR)
	its[1].Close()
	r = serve(t, Options{Spec: spec.Spec{Listen: fds(in, out), To: to}})
	server = accept(t, l)
	mine[1].WriteString("there")
	mine[1].Close()
	if got, err := io.ReadAll(server); err != nil || string(got) != "there" {
		t.Errorf("%q, %v", got, err)
	}
	server.Write([]byte("and back"))
	server.Close()
	if got, err := io.ReadAll(its[0]); err != nil || string(got) != "and back" {
		t.Errorf("%q, %v", got, err)
	}
	if err := <-r.over; err != nil {
		t.Error(err)
	}
}

// TLS by the three-state setting, over an inherited TCP socket.
func TestInheritedTLS(t *testing.T) {
	s := newSite(t)
	sock, in := target(t, loopback(spec.TCP))
	out, to := target(t, s.path("out"))
	n := inheritFile(t, sock.(*net.TCPListener))
	sock.Close()
	second := serve(t, Options{Spec: spec.Spec{Listen: fds(n), To: to, TLS: spec.Yes, Allow: names(t, "host-a")}, Credentials: s.host(s.ca, "host-b")})
	if e := second.Effect(); !e.Listen {
		t.Errorf("%+v", e)
	}
	tcp, err := net.Dial("tcp", in.At)
	if err != nil {
		t.Fatal(err)
	}
	m := inheritFile(t, tcp.(*net.TCPConn))
	tcp.Close()
	a, n := socketpair(t)
	first := serve(t, Options{Spec: spec.Spec{Listen: fds(n), To: fds(m), TLS: spec.Yes, Names: names(t, "host-b")}, Credentials: s.host(s.ca, "host-a")})
	a.Write([]byte("secret"))
	server := accept(t, out)
	wantRead(t, server, "secret")
	a.Close()
	server.Close()
	if err := <-first.over; err != nil {
		t.Error(err)
	}
	for _, r := range []*running{first, second} {
		if rep := r.end(); rep.Err != nil || rep.Version != "TLS1.3" {
			t.Errorf("%+v", rep)
		}
	}
}

func TestInheritedRefused(t *testing.T) {
	s := newSite(t)
	pr, pw, mine := inheritPipe(t)
	file, err := os.Create(s.path("file").At)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	sock, _ := target(t, loopback(spec.TCP))
	listening := inheritFile(t, sock.(*net.TCPListener))
	_, pair := socketpair(t)
	for _, c := range []struct {
		listen, to spec.Address
		tls        string
		want       string
	}{
		{fds(999), s.path("out"), "", "sluice was not started with it"},
		{fds(int(mine[0].Fd())), s.path("out"), "", "sluice was not started with it"},
		{fds(inherit(t, int(file.Fd()))), s.path("out"), "", "neither a socket nor a pipe"},
		{fds(inheritFile(t, udp.(*net.UDPConn))), s.path("out"), "", "neither a TCP nor a unix stream socket"},
		{s.path("in"), fds(listening), spec.No, "cannot be connected to"},
		{s.path("in"), fds(pr, listening), "", "must be the only descriptor"},
		{fds(pw, pr), s.path("out"), "", "nothing can be read from"},
		{fds(pair), s.path("out"), spec.Yes, "neither side is TCP"},
		{fds(listening), s.path("out"), spec.Yes, "nobody would be let in"},
		{fds(pair), fds(pair), "", "connect to itself"},
	} {
		if l, err := Listen(Options{Spec: spec.Spec{Listen: c.listen, To: c.to, TLS: c.tls}}); !needs.ErrorSays(err, c.want) {
			t.Errorf("%s to %s: %v, %v; want %q", c.listen, c.to, l, err, c.want)
		}
	}
	for _, n := range []int{pr, pw, listening, pair} {
		if err := unix.Close(n); err != nil {
			t.Errorf("%d was closed: %v", n, err)
		}
	}
}
