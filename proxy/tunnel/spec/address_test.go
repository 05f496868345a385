package spec

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat("p", maxPath)
	for _, c := range []struct {
		text string
		want Address
		err  string // of ParseAddress
		to   string // of Connects
	}{
		{text: "unix:/run/a.sock", want: Address{Unix, "/run/a.sock"}},
		{text: "unix:a:b", want: Address{Unix, "a:b"}},
		{text: "unix:" + long, want: Address{Unix, long}},
		{text: "unix:" + long + "p", err: "at most 107"},
		{text: "unix:", err: "a path is missing"},
		{text: "unix:@name", err: "abstract"},
		{text: "unix:a\x00b", err: "NUL"},
		{text: "tcp:host-b:80", want: Address{TCP, "host-b:80"}},
		{text: "tcp:[2001:db8::1]:80", want: Address{TCP, "[2001:db8::1]:80"}},
		{text: "tcp::80", want: Address{TCP, ":80"}, to: "a host to connect to is missing"},
		{text: "tls:127.0.0.1:0", want: Address{TLS, "127.0.0.1:0"}, to: "port 0"},
		{text: "tls:127.0.0.1:65535", want: Address{TLS, "127.0.0.1:65535"}},
		{text: "tls:127.0.0.1:65536", err: "not a number from 1 to 65535"},
		{text: "tls:127.0.0.1:-1", err: "not a number from 1 to 65535"},
		{text: "tls:127.0.0.1:https", err: "not a number from 1 to 65535"},
		{text: "tls:127.0.0.1", err: "write HOST:PORT"},
		{text: "tls:2001:db8::1:80", err: "in brackets"},
		{text: "tls://host-b:80", err: "write tls:host-b:80, without //"},
		{text: "tls:host b:80", err: "neither a host name nor an IP address"},
		{text: "tls:a/b:80", err: "neither a host name nor an IP address"},
		{text: "fd:3", want: Address{FD, "3"}},
		{text: "fd:0,1", want: Address{FD, "0,1"}},
		{text: "fd:2", err: "where sluice logs"},
		{text: "fd:0,2", err: "where sluice logs"},
		{text: "fd:3,3", err: "write fd:3"},
		{text: "fd:", err: "write fd:N"},
		{text: "fd:-1", err: "write fd:N"},
		{text: "fd:1048576", err: "write fd:N"},
		{text: "fd:1,2,3", err: "write fd:N"},
		{text: "exec:cat", want: Address{Exec, "cat"}},
		{text: "exec:", err: "a command is missing"},
		{text: "exec:a | b", err: "quote it"},
		{text: "", err: "write unix:PATH, tcp:HOST:PORT, tls:HOST:PORT, fd:N or exec:COMMAND"},
		{text: "/run/a.sock", err: "write unix:PATH"},
		{text: "udp:host-b:80", err: "write unix:PATH"},
		{text: "TLS:host-b:80", err: "write unix:PATH"},
	} {
		got, err := ParseAddress(c.text)
		if got != c.want || !needs.ErrorSays(err, c.err) {
			t.Errorf("%q is %v, %v", c.text, got, err)
		}
		if err == nil && !needs.ErrorSays(got.Connects(), c.to) {
			t.Errorf("%q to connect to: %v", c.text, got.Connects())
		}
		if err == nil && got.String() != c.text {
			t.Errorf("%q becomes %q", c.text, got)
		}
	}
}

// FuzzParseAddress: what is taken is said again in the same words, and is taken as the same.
func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"unix:/run/x", "tcp:host-b:1", "tls:[2001:db8::1]:4433", "fd:3", "fd:0,1", "exec:a 'b c'", "tcp://h:1", "unix:@x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a || a.String() != text {
			t.Errorf("%q is %+v, and then %+v, %v", text, a, again, err)
		}
		if strings.ContainsRune(a.At, 0) && a.Kind != Exec {
			t.Errorf("%q holds a NUL", text)
		}
		if a.Connects() == nil && (a.Kind == TCP || a.Kind == TLS) && a.Host() == "" {
			t.Errorf("%q has no host", text)
		}
		a.Words()
	})
}
