package tunnel

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Both directions, byte for byte, and half-close, whatever the two hops are.
func TestCarry(t *testing.T) {
	s := newSite(t)
	a, b := s.host(s.ca, "host-a"), s.host(s.ca, "host-b")
	only12, err := tlsconf.ParsePriority("NORMAL:-VERS-ALL:+VERS-TLS1.2", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		in, hop, out spec.Kind
		path         relay.Path // of both
		policy       *tlsconf.Policy
		want         relay.Path
	}{
		{spec.Unix, spec.TLS, spec.Unix, relay.Records, nil, relay.Records},
		{spec.TCP, spec.TLS, spec.TCP, relay.Records, nil, relay.Records},
		{spec.Unix, spec.TLS, spec.TCP, relay.CryptoTLS, nil, relay.CryptoTLS},
		{spec.TCP, spec.TLS, spec.Unix, relay.Auto, only12, relay.CryptoTLS},
		{spec.Unix, spec.TCP, spec.Unix, relay.Auto, nil, relay.Splice},
		{spec.TCP, spec.Unix, spec.TCP, relay.Auto, nil, relay.Splice},
	} {
		t.Run(fmt.Sprintf("%s-%s-%s %s", c.in, c.hop, c.out, c.want), func(t *testing.T) {
			at := func(k spec.Kind, name string) spec.Address {
				if k == spec.Unix {
					return s.path(fmt.Sprint(name, i))
				}
				return loopback(k)
			}
			l, last := target(t, at(c.out, "out"))
			second := serve(t, Options{Spec: spec.Spec{Listen: at(c.hop, "hop"), To: last, Allow: names(t, "host-a")}, Credentials: b, Policy: always(c.policy), Path: c.path, Workers: i % 3})
			first := serve(t, Options{Spec: spec.Spec{Listen: at(c.in, "in"), To: second.Address(), Names: names(t, "host-b")}, Credentials: a, Policy: always(c.policy), Path: c.path, Workers: i % 3})

			client := dial(t, first.Address())
			server := accept(t, l)
			there, back := make([]byte, 3<<20+1), make([]byte, 1<<20-1)
			rand.Read(there)
			rand.Read(back)
			go func() {
				client.Write(there)
				client.CloseWrite()
			}()
			if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, there) {
				t.Fatalf("%d bytes have arrived, %v", len(got), err)
			}
			// The other direction outlives the first.
			// More of it than the sockets on its way hold.
			go func() {
				server.Write(back)
				server.CloseWrite()
			}()
			if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, back) {
				t.Fatalf("%d bytes came back, %v", len(got), err)
			}
			for _, r := range []Report{first.end(), second.end()} {
				if r.Err != nil || r.Path != c.want || r.Sent != int64(len(there)) || r.Received != int64(len(back)) || (c.hop == spec.TLS) != (r.Suite != "") {
					t.Errorf("reported as %+v", r)
				}
			}
		})
	}
}

// A relay that dies in the middle is never taken for an orderly end.
func TestCutMiddle(t *testing.T) {
	for _, dies := range []string{"first", "second"} {
		t.Run(dies, func(t *testing.T) {
			s := newSite(t)
			l, last := target(t, loopback(spec.TCP))
			second := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: last, Allow: names(t, "host-a")}, Credentials: s.host(s.ca, "host-b")})
			first := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TCP), To: second.Address(), Names: names(t, "host-b")}, Credentials: s.host(s.ca, "host-a")})
			client := dial(t, first.Address())
			client.Write([]byte("half"))
			server := accept(t, l)
			wantRead(t, server, "half")

			cut := map[string]*running{"first": first, "second": second}[dies]
			cut.cut()
			for name, c := range map[string]socket{"client": client, "server": server} {
				if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the %s's read ends with %v", name, err)
				}
			}
			for _, r := range []*running{first, second} {
				if rep := r.end(); rep.Err == nil {
					t.Errorf("reported as an orderly end: %+v", rep)
				}
			}
			if err := <-cut.over; !errors.Is(err, ErrCut) {
				t.Errorf("Serve returns %v", err)
			}
		})
	}
}

// Draining takes no new connections and waits for those that there are.
func TestDrain(t *testing.T) {
	s := newSite(t)
	l, to := target(t, loopback(spec.TCP))
	r := serve(t, Options{Spec: spec.Spec{Listen: s.path("in"), To: to}})
	client := dial(t, r.Address())
	client.Write([]byte("1"))
	server := accept(t, l)
	wantRead(t, server, "1")
	close(r.drain)
	// The listener is gone with its socket, of which nothing tells but looking.
	late, look := time.After(20*time.Second), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for _, err := os.Stat(s.path("in").At); err == nil; _, err = os.Stat(s.path("in").At) {
		select {
		case <-look.C:
		case <-late:
			t.Fatal("the socket is still there")
		}
	}
	server.Write([]byte("2"))
	wantRead(t, client, "2")
	select {
	case err := <-r.over:
		t.Fatalf("Serve has returned: %v", err)
	default:
	}
	client.Close()
	server.Close()
	if err := <-r.over; err != nil {
		t.Errorf("Serve returns %v", err)
	}
	if rep := r.end(); rep.Err != nil {
		t.Error(rep.Err)
	}
}

// Connections beyond the limit wait until there is room.
func TestConnectionLimit(t *testing.T) {
	s := newSite(t)
	l, to := target(t, s.path("out"))
	r := serve(t, Options{Spec: spec.Spec{Listen: s.path("in"), To: to, Limits: spec.Limits{Connections: 2}}})
	first, second, third := dial(t, r.Address()), dial(t, r.Address()), dial(t, r.Address())
	third.Write([]byte("3"))
	a, b := accept(t, l), accept(t, l)
	l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := l.Accept(); err == nil {
		t.Fatal("a third connection was carried")
	}
	for _, c := range []socket{first, second, a, b} {
		c.Close()
	}
	wantRead(t, accept(t, l), "3")
}

// A socket is its owner's alone, and one that was left behind is no obstacle.
func TestSocketFile(t *testing.T) {
	s := newSite(t)
	at := s.path("in")
	opts := Options{Spec: spec.Spec{Listen: at, To: s.path("out")}}
	r := serve(t, opts)
	if st, err := os.Stat(at.At); err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket is %v, %v", st.Mode(), err)
	}
	if _, err := Listen(opts); err == nil || err.Error() != at.String()+" is already in use" {
		t.Errorf("a second tunnel: %v", err)
	}
	// Moved away while it listens and back after, it is what a killed process leaves.
	os.Rename(at.At, at.At+".kept")
	r.cut()
	<-r.over
	os.Rename(at.At+".kept", at.At)
	again, err := Listen(opts)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	os.WriteFile(at.At, []byte("a file"), 0o600)
	if _, err := Listen(opts); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if text, _ := os.ReadFile(at.At); string(text) != "a file" {
		t.Errorf("the file holds %q", text)
	}
}

// What cannot be carried is refused before anything listens.
func TestOptions(t *testing.T) {
	s := newSite(t)
	store, any := s.host(s.ca, "host-a"), names(t, "*")
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{Spec: spec.Spec{Listen: s.path("in")}}, "there is no address"},
		{Options{Spec: spec.Spec{To: s.path("out")}}, "there is no address to listen at"},
		{Options{Spec: spec.Spec{Listen: s.path("in"), To: s.path("in")}}, "connect to itself"},
		{Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: s.path("out"), TLS: spec.No, Allow: any}}, "contradicts it"},
		{Options{Spec: spec.Spec{Listen: s.path("in"), To: s.path("out"), StartTLS: spec.NBD}}, "neither side has it"},
		{Options{Spec: spec.Spec{Listen: s.path("in"), To: s.path("out"), StartTLS: "smtp"}}, `not "smtp"`},
		{Options{Spec: spec.Spec{Listen: loopback(spec.TCP), To: s.path("out"), TLS: spec.No, SocketUser: new(int)}}, "can have a user"},
		{Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: s.path("out"), Allow: any}}, "no certificates"},
		{Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: s.path("out")}, Credentials: store}, "nobody would be let in"},
		{Options{Spec: spec.Spec{Listen: s.path("in"), To: s.path("out")}, Path: "fast"}, `no path "fast"`},
		{Options{Spec: spec.Spec{Listen: s.path("in"), To: s.path("out")}, Workers: -1}, "workers"},
		{Options{Spec: spec.Spec{Listen: s.path("none/in"), To: s.path("out")}}, "no such file"},
	} {
		if l, err := Listen(c.opts); !needs.ErrorSays(err, c.want) {
			t.Errorf("%+v: %v, %v; want %q", c.opts, l, err, c.want)
		}
	}
	if left, _ := os.ReadDir(s.dir); len(left) != 1 { // the certificates
		t.Errorf("left over: %v", left)
	}
}
