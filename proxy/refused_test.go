package proxy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/peer"
)

// Whoever has no certificate of ours gets one frame that says so, or an alert,
// and nothing that it says is read.
func TestWithoutACertificateOfOurs(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	_, b := pairOfHosts(t, ca)
	b.start("", hosttest.PeerA)
	stranger, err := hosttest.NewAuthority(t, "another CA").Issue(pki.Host{Names: []string{"host-a"}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := msgpack.Marshal(map[string]any{"kind": "open", "versions": []int{1}, "channel": "ask", "name": "check"})
	if err != nil {
		t.Fatal(err)
	}
	question := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	// told is what a client with these settings reads to the end.
	told := func(t *testing.T, cfg *tls.Config) ([]byte, error) {
		t.Helper()
		raw, err := net.Dial("tcp", b.listening())
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(20 * time.Second))
		cfg.InsecureSkipVerify = true // it is host-b that is tested
		conn := tls.Client(raw, cfg)
		if _, err := conn.Write(question); err != nil {
			t.Fatal(err)
		}
		return io.ReadAll(conn)
	}
	showing := func() *tls.Config {
		cert := stranger.TLS()
		return &tls.Config{NextProtos: []string{peer.ALPN}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }}
	}

	t.Run("a peer", func(t *testing.T) {
		got, err := told(t, showing())
		if err != nil || len(got) < 4 || int(binary.BigEndian.Uint32(got)) != len(got)-4 {
			t.Fatalf("%q, %v: not one frame", got, err)
		}
		var frame struct {
			Kind  string `msgpack:"kind"`
			Cause struct {
				Code string `msgpack:"code"`
				Text string `msgpack:"text"`
			} `msgpack:"cause"`
		}
		if err := msgpack.Unmarshal(got[4:], &frame); err != nil || frame.Kind != "refuse" || frame.Cause.Code != "wrong-ca" || !strings.Contains(frame.Cause.Text, `issued by "CN=another CA"`) {
			t.Errorf("%+v, %v", frame, err)
		}
	})
	t.Run("what no host needs", func(t *testing.T) {
		for want, spec := range map[string]pki.Host{
			"5000 names, more than the 256 allowed": {Names: make([]string, 5000)},
			"the byte 0x00 is not allowed":          {Names: []string{"host-a\x00.example.org", "host-a"}},
			"the control character 0x00 in CN":      {Names: []string{"host-a"}, Subject: &pkix.Name{CommonName: "host-a\x00x"}},
		} {
			for i := range spec.Names {
				if spec.Names[i] == "" {
					spec.Names[i] = fmt.Sprintf("host-%d", i)
				}
			}
			pair, err := ca.Issue(spec)
			if err != nil {
				t.Fatal(err)
			}
			cfg := showing()
			cert := pair.TLS()
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			if got, err := told(t, cfg); err != nil || !bytes.Contains(got, []byte("bad-cert")) || !bytes.Contains(got, []byte(want)) {
				t.Errorf("%.300q, %v: want %q", got, err, want)
			}
		}
	})
	t.Run("a name of 100 KB that nobody vouches for", func(t *testing.T) {
		other := hosttest.NewAuthority(t, "another CA")
		pair, err := other.Issue(pki.Host{Names: []string{"host-a"}, Subject: &pkix.Name{CommonName: strings.Repeat("long", 25_000)}})
		if err != nil {
			t.Fatal(err)
		}
		cert, cfg := pair.TLS(), showing()
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		before := len(b.logged.String())
		if got, err := told(t, cfg); err != nil || len(got) > 2000 || !bytes.Contains(got, []byte("wrong-ca")) || !bytes.Contains(got, []byte("longl…")) {
			t.Errorf("%d bytes, %.300q, %v", len(got), got, err)
		}
		hosttest.Eventually(t, "the refusal in the log", func() bool { return strings.Contains(b.logged.String()[before:], "another CA") })
		if line := b.logged.String()[before:]; len(line) > 2000 {
			t.Errorf("%d bytes are logged", len(line))
		}
	})
	t.Run("a peer, one of many", func(t *testing.T) {
		for range peer.MaxRefusals {
			b.now().Peers.Refusing <- struct{}{}
		}
		if got, _ := told(t, showing()); len(got) > 0 {
			t.Errorf("%q", got)
		}
		for range peer.MaxRefusals {
			<-b.now().Peers.Refusing
		}
	})
	t.Run("a libvirt client", func(t *testing.T) {
		cfg := showing()
		cfg.NextProtos = nil
		if got, err := told(t, cfg); len(got) > 0 || err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("no certificate at all", func(t *testing.T) {
		if got, err := told(t, &tls.Config{NextProtos: []string{peer.ALPN}}); len(got) > 0 || err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("%q, %v", got, err)
		}
	})
}
