package spec

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
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
		o := Spec{TLS: c.tls, Host: c.host}
		var err error
		if o.Listen, err = ParseAddress(c.listen); err != nil {
			t.Fatal(err)
		}
		if o.To, err = ParseAddress(c.to); err != nil {
			t.Fatal(err)
		}
		before := o
		got, err := o.Effect()
		if !needs.ErrorSays(err, c.err) || err == nil && got != c.want {
			t.Errorf("%s to %s, tls %q, %+v: %+v, %v", c.listen, c.to, c.tls, c.host, got, err)
		}
		if o.Listen != before.Listen || o.To != before.To || o.TLS != before.TLS {
			t.Errorf("what was written became %+v", o)
		}
	}
}
