package tunnel

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/stream/relay"
)

// Silence for as long as idle ends a connection, and bytes put that off.
func TestIdle(t *testing.T) {
	s := newSite(t)
	l, to := target(t, loopback(spec.TCP))
	const idle = 1200 * time.Millisecond
	r := serve(t, Options{Spec: spec.Spec{Listen: s.path("in"), To: to, Limits: spec.Limits{Idle: idle}}})
	client := dial(t, r.Address())
	server := accept(t, l)
	began := time.Now()
	for range 5 {
		client.Write([]byte("x"))
		wantRead(t, server, "x")
		time.Sleep(idle / 4) // silence is what is tested
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server reads %v", err)
	}
	if took := time.Since(began); took < 4*idle/4+idle {
		t.Errorf("ended after %v", took)
	}
	if rep := r.end(); !needs.ErrorSays(rep.Err, "not a byte has moved for 1.2s") {
		t.Error(rep.Err)
	}
}

// Bandwidth is shared by all connections of the tunnel.
func TestBandwidth(t *testing.T) {
	s := newSite(t)
	l, to := target(t, s.path("out"))
	r := serve(t, Options{Spec: spec.Spec{Listen: s.path("in"), To: to, Limits: spec.Limits{Bandwidth: 1 << 20}}})
	const each = 512 << 10
	began := time.Now()
	for range 2 {
		client := dial(t, r.Address())
		server := accept(t, l)
		go func() {
			client.Write(make([]byte, each))
			client.Close()
		}()
		go func() {
			io.Copy(io.Discard, server)
			server.Close()
		}()
	}
	r.end()
	r.end()
	if took := time.Since(began); took < 800*time.Millisecond || took > 5*time.Second {
		t.Errorf("1 MiB at 1 MiB/s took %v", took)
	}
	if st := r.Status(); st.Done != 2 || st.Sent != 2*each || len(st.Live) != 0 || len(st.Ended) != 2 {
		t.Errorf("%+v", st)
	}
}

// TLS on both sides is ended and begun again; what breaks breaks on both.
func TestTLSToTLS(t *testing.T) {
	for _, path := range []relay.Path{relay.Records, relay.CryptoTLS} {
		s := newSite(t)
		l, to := target(t, loopback(spec.TCP))
		third := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: to, Allow: names(t, "host-b")}, Credentials: s.host(s.ca, "host-c"), Path: path})
		second := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: third.Address(), Allow: names(t, "host-a"), Names: names(t, "host-c")}, Credentials: s.host(s.ca, "host-b"), Path: path})
		first := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TCP), To: second.Address(), Names: names(t, "host-b")}, Credentials: s.host(s.ca, "host-a"), Path: path})
		client := dial(t, first.Address())
		server := accept(t, l)
		data := bytes.Repeat([]byte("sluice"), 1<<19)
		go func() {
			client.Write(data)
			client.CloseWrite()
		}()
		if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		server.Write([]byte("back"))
		server.Close()
		if got, err := io.ReadAll(client); err != nil || string(got) != "back" {
			t.Errorf("%q, %v", got, err)
		}
		for _, r := range []*running{first, second, third} {
			if rep := r.end(); rep.Err != nil || rep.Path != path || rep.Sent != int64(len(data)) || rep.Received != 4 || rep.Version == "" {
				t.Errorf("%+v", rep)
			}
		}
		client = dial(t, first.Address())
		client.Write([]byte("half"))
		server = accept(t, l)
		wantRead(t, server, "half")
		second.cut()
		for _, c := range []socket{client, server} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read %v", err)
			}
		}
		for _, r := range []*running{first, second, third} {
			if rep := r.end(); rep.Err == nil {
				t.Errorf("an orderly end: %+v", rep)
			}
		}
	}
}

// An end without close_notify is a failure, or an end where that is wanted.
func TestLaxEnd(t *testing.T) {
	for _, lax := range []bool{false, true} {
		s := newSite(t)
		l, to := target(t, loopback(spec.TCP))
		r := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: to, Allow: names(t, "host-a"), LaxEnd: lax}, Credentials: s.host(s.ca, "host-b")})
		pair, err := s.ca.Issue(pki.Host{Names: []string{"host-a"}})
		if err != nil {
			t.Fatal(err)
		}
		raw := dial(t, r.Address())
		c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair.TLS()}}) // it is the server that is tested
		c.Write([]byte("all of it"))
		server := accept(t, l)
		wantRead(t, server, "all of it")
		raw.Close()
		_, err = server.Read(make([]byte, 1))
		if lax && err != io.EOF || !lax && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("lax %v: the server reads %v", lax, err)
		}
		server.Close()
		if rep := r.end(); !needs.ErrorSays(rep.Err, map[bool]string{false: "close_notify"}[lax]) {
			t.Errorf("lax %v: %v", lax, rep.Err)
		}
	}
}
