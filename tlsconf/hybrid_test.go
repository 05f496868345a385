package tlsconf

import (
	"crypto/tls"
	"slices"
	"testing"
)

func TestHybridAdded(t *testing.T) {
	system := func(text string) *System {
		t.Helper()
		sys, err := ParseSystem("system", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return sys
	}
	allowlist := system("[global]\noverride-mode=allowlist\n[overrides]\nsecure-hash=SHA384\nsecure-sig=ECDSA-SECP256R1-SHA256\nsecure-sig-for-cert=ECDSA-SECP256R1-SHA256\n" +
		"enabled-curve=X25519\ntls-enabled-group=X25519\ntls-enabled-cipher=AES-256-GCM\ntls-enabled-mac=AEAD\nenabled-version=TLS1.3\n")
	for _, c := range []struct {
		priority string
		sys      *System
		added    bool
	}{
		{"NORMAL", nil, true},
		{"NORMAL:-VERS-ALL:+VERS-TLS1.3", nil, true},
		{"SECURE256:+GROUP-X25519", nil, true},
		{"NORMAL:-GROUP-SECP256R1", nil, true},
		{"NORMAL:-GROUP-ALL:+GROUP-ALL", nil, true},
		{"NORMAL:-VERS-TLS1.3", nil, false},
		{"NORMAL:-GROUP-X25519", nil, false},
		{"NORMAL:-CURVE-X25519", nil, false},
		{"NORMAL:-GROUP-X25519-MLKEM768", nil, false},
		{"NORMAL:!GROUP-X25519-MLKEM768", nil, false},
		{"NORMAL:-GROUP-X25519-MLKEM768:+GROUP-ALL", nil, false},
		{"NORMAL:+GROUP-X25519-MLKEM768", nil, false}, // it is there already
		{"NORMAL:-GROUP-ALL:+GROUP-X25519", nil, false},
		{"NORMAL:-CURVE-ALL:+CURVE-X25519", nil, false},
		{"NORMAL:-GROUP-EC-ALL:+GROUP-X25519", nil, false},
		{"NONE:+VERS-TLS1.3:+CIPHER-ALL:+MAC-ALL:+SIGN-ALL:+GROUP-X25519", nil, false},
		{"SUITEB128", nil, false},
		{"NORMAL", system("[overrides]\ntls-disabled-group=x25519-mlkem768\n"), false},
		{"NORMAL", system("[overrides]\ndisabled-curve=x25519\n"), false},
		{"@SYSTEM", allowlist, false},
	} {
		p, err := ParsePriority(c.priority, c.sys)
		if err != nil {
			t.Errorf("%s: %v", c.priority, err)
			continue
		}
		if got := len(p.Added) == 1; got != c.added || len(p.Added) > 1 {
			t.Errorf("%s with %+v: added %+v, want %t", c.priority, c.sys, p.Added, c.added)
		}
		named := slices.Contains(p.Groups, hybrid)
		if offers := slices.Contains(p.Offered(), hybrid); offers != (c.added || named) {
			t.Errorf("%s: the groups offered are %v", c.priority, p.Offered())
		}
	}
}

// Two hosts that both have it use it; with one that has not, the handshake comes to what both have.
func TestHybridUsed(t *testing.T) {
	s := newSite(t)
	a, b := s.creds(s.host("a")), s.creds(s.host("b"))
	for _, c := range []struct{ client, server, group string }{
		{"NORMAL", "NORMAL", "X25519-MLKEM768"},
		{"NORMAL", "NORMAL:-GROUP-X25519-MLKEM768", "X25519"},
		{"NORMAL:-GROUP-ALL:+GROUP-X25519", "NORMAL", "X25519"},
		{"NORMAL", "NORMAL:-GROUP-X25519", "SECP256R1"},
		{"NORMAL:-VERS-TLS1.3", "NORMAL", ""}, // whichever
	} {
		client, server, cerr, serr := meet(t,
			Client{Credentials: a, Policy: policy(t, c.client), Name: "b", Expect: rules(t, "b")},
			Server{Credentials: b, Policy: policy(t, c.server), Name: "a", Authorize: func(*Peer) error { return nil }})
		if cerr != nil || serr != nil {
			t.Errorf("%s with %s: %v, %v", c.client, c.server, cerr, serr)
			continue
		}
		for _, conn := range []engineConn{client, server} {
			used := UsedBy(conn.ConnectionState())
			if c.group != "" && used.Group != c.group || used.Group == "" {
				t.Errorf("%s with %s came to %+v, want the group %s", c.client, c.server, used, c.group)
			}
			conn.Close()
		}
	}
	if used := UsedBy(tls.ConnectionState{}, false); used != (Used{}) {
		t.Errorf("in clear: %+v", used)
	}
}

// The policy of a peer is held to after the handshake, which went by the host's.
func TestHybridBySecondPolicy(t *testing.T) {
	state := tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, CurveID: tls.X25519MLKEM768}
	for priority, borne := range map[string]bool{
		"NORMAL":                             true,
		"NORMAL:-GROUP-ALL:+GROUP-X25519":    true,
		"NORMAL:-GROUP-X25519-MLKEM768":      false,
		"NORMAL:-GROUP-ALL:+GROUP-SECP256R1": false,
	} {
		if err := policy(t, priority).verify(state, nil); (err == nil) != borne {
			t.Errorf("%s: %v", priority, err)
		}
	}
}
