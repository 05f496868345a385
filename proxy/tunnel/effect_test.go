package tunnel

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// TLS by the host's default is TLS: tcp: is written, and what comes without a
// certificate is refused.
func TestDefaultIsInEffect(t *testing.T) {
	s := newSite(t)
	l, to := target(t, s.path("out"))
	server := s.host(s.ca, "host-b")
	second := serveAs(t, Options{Spec: spec.Spec{Listen: loopback(spec.TCP), To: to, Allow: names(t, "host-a")}, Credentials: server})
	first := serveAs(t, Options{Spec: spec.Spec{Listen: s.path("in"), To: second.Address(), Names: names(t, "host-b")}, Credentials: s.host(s.ca, "host-a")})
	for _, r := range []*running{first, second} {
		if e := r.Effect(); e.TLS() != spec.Yes || e.Why != "this host's default" {
			t.Errorf("%+v", e)
		}
	}
	client := dial(t, first.Address())
	client.Write([]byte("secret"))
	served := accept(t, l)
	wantRead(t, served, "secret")
	client.Close()
	served.Close()
	if rep := first.end(); rep.Version != "TLS1.3" || rep.Err != nil {
		t.Errorf("%+v", rep)
	}
	plain := dial(t, second.Address())
	plain.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	for rep := second.end(); ; rep = second.end() {
		if rep.Err != nil {
			if !needs.ErrorSays(rep.Err, "HTTP without TLS") {
				t.Error(rep.Err)
			}
			break
		}
	}
	if _, err := Listen(Options{Spec: spec.Spec{Listen: loopback(spec.TCP), To: to}}); !needs.ErrorSays(err, "nobody would be let in") {
		t.Error(err)
	}
	if _, err := Listen(Options{Spec: spec.Spec{Listen: loopback(spec.TCP), To: to, Allow: names(t, "*")}}); !needs.ErrorSays(err, "no certificates") {
		t.Error(err)
	}
}
