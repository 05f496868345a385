package tunnel

import (
	"testing"
)

// The three states, each host's default, and each kind of address: what was
// written is never changed, and nothing leaves the host in clear unawares.
func TestEffect(t *testing.T) {
	unix, near, far, every := "unix:/a", "tcp:127.0.0.1:1", "tcp:host-b:1", "tcp::1"
	yes, no := Host{TLS: Yes, RequireSecure: true}, Host{TLS: No}
	for _, c := range []struct {
		listen, to string
		tls        string
		host       Host
		want       Effect
		err        string
	}{
		{unix, far, "", yes, Effect{To: true, Why: "this host's default"}, ""},
		{unix, far, "", Host{RequireSecure: true}, Effect{To: true, Why: "this host's default"}, ""},
		{unix, far, "", no, Effect{Why: "this host's default"}, ""},
		{unix, far, Yes, no, Effect{To: true, Why: `tls = "yes"`}, ""},
		{unix, far, No, no, Effect{Why: `tls = "no"`}, ""},
		{unix, far, No, yes, Effect{}, "require_secure forbids"},
		{unix, far, "maybe", no, Effect{}, `not "maybe"`},
		{unix, near, "", yes, Effect{To: true, Why: "this host's default"}, ""},
		{unix, near, No, yes, Effect{Why: `tls = "no"`}, ""},
		{"tcp:localhost:1", "tcp:[::1]:2", No, yes, Effect{Why: `tls = "no"`}, ""},
		{near, unix, Yes, no, Effect{Listen: true, Why: `tls = "yes"`}, ""},
		{every, unix, No, yes, Effect{}, "tcp::1 would carry the stream beyond this host in clear"},
		{near, far, "", yes, Effect{}, "both sides are TCP"},
		{near, far, Yes, no, Effect{}, "both sides are TCP"},
		{near, far, "", no, Effect{Why: "this host's default"}, ""},
		{unix, "exec:cat", "", yes, Effect{Why: "neither side is TCP"}, ""},
		{unix, "exec:cat", Yes, yes, Effect{}, "neither side is TCP"},
		{unix, "tls:host-b:1", "", no, Effect{To: true, Why: "an address begins with tls:"}, ""},
		{unix, "tls:host-b:1", Yes, no, Effect{To: true, Why: "an address begins with tls:"}, ""},
		{unix, "tls:host-b:1", No, no, Effect{}, "contradicts"},
		{"tls::1", "tls:host-b:2", "", yes, Effect{Listen: true, To: true, Why: "an address begins with tls:"}, ""},
		{"tls::1", near, "", yes, Effect{Listen: true, Why: "an address begins with tls:"}, ""},
		{"tls::1", far, "", yes, Effect{}, "tcp:host-b:1 would carry the stream beyond this host in clear"},
		{"tls::1", far, "", no, Effect{Listen: true, Why: "an address begins with tls:"}, ""},
	} {
		o := Options{TLS: c.tls, Host: c.host}
		var err error
		if o.Listen, err = ParseAddress(c.listen); err != nil {
			t.Fatal(err)
		}
		if o.To, err = ParseAddress(c.to); err != nil {
			t.Fatal(err)
		}
		before := o
		got, err := o.Effect()
		if !saysError(err, c.err) || err == nil && got != c.want {
			t.Errorf("%s to %s, tls %q, %+v: %+v, %v", c.listen, c.to, c.tls, c.host, got, err)
		}
		if o.Listen != before.Listen || o.To != before.To || o.TLS != before.TLS {
			t.Errorf("what was written became %+v", o)
		}
	}
}

// TLS by the host's default is TLS: tcp: is written, and what comes without a
// certificate is refused.
func TestDefaultIsInEffect(t *testing.T) {
	s := newSite(t)
	l, to := target(t, s.path("out"))
	server := s.host(s.ca, "host-b")
	second := serveAs(t, Options{Listen: loopback(TCP), To: to, Credentials: server, Allow: names(t, "host-a")})
	first := serveAs(t, Options{Listen: s.path("in"), To: second.Address(), Credentials: s.host(s.ca, "host-a"), Names: names(t, "host-b")})
	for _, r := range []*running{first, second} {
		if e := r.Effect(); e.TLS() != Yes || e.Why != "this host's default" {
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
			if !saysError(rep.Err, "HTTP without TLS") {
				t.Error(rep.Err)
			}
			break
		}
	}
	if _, err := Listen(Options{Listen: loopback(TCP), To: to}); !saysError(err, "nobody would be let in") {
		t.Error(err)
	}
	if _, err := Listen(Options{Listen: loopback(TCP), To: to, Allow: names(t, "*")}); !saysError(err, "no certificates") {
		t.Error(err)
	}
}
