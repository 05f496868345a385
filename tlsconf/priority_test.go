package tlsconf

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParsePriority(t *testing.T) {
	for _, tt := range []struct {
		priority                 string
		versions, suites, groups string // joined by spaces; suites of TLS 1.3 alone
		unavailable, noEffect    []string
	}{
		{"NORMAL", "TLS1.3 TLS1.2", "TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256 TLS_AES_128_GCM_SHA256", "SECP256R1 SECP384R1 SECP521R1 X25519",
			[]string{"GROUP-X448", "GROUP-FFDHE2048", "AES-256-CCM", "DHE-RSA", "VERS-TLS1.0", "VERS-TLS1.1", "SIGN-EDDSA-ED448"}, []string{"order"}},
		{"SECURE256", "TLS1.3 TLS1.2", "TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256", "SECP384R1 SECP521R1", []string{"AES-256-CCM"}, []string{"SIGN"}},
		{"SUITEB192", "TLS1.2", "", "SECP384R1", nil, nil},
		{"SUITEB192:+VERS-TLS1.3", "TLS1.2 TLS1.3", "TLS_AES_256_GCM_SHA384", "SECP384R1", nil, nil},
		{"NORMAL:-VERS-ALL:+VERS-TLS1.3:-AES-128-GCM:-GROUP-ALL:+GROUP-X25519", "TLS1.3", "TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256", "X25519", nil, nil},
		{"NORMAL:+GROUP-X25519-MLKEM768", "TLS1.3 TLS1.2", "TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256 TLS_AES_128_GCM_SHA256", "SECP256R1 SECP384R1 SECP521R1 X25519 X25519-MLKEM768", nil, nil},
		{"NORMAL:%COMPAT:-CIPHER-AES-128-GCM:%UNSAFE_RENEGOTIATION", "TLS1.3 TLS1.2", "TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256 TLS_AES_128_GCM_SHA256", "SECP256R1 SECP384R1 SECP521R1 X25519",
			[]string{"%UNSAFE_RENEGOTIATION"}, []string{"%COMPAT", "-CIPHER-AES-128-GCM"}},
		{"NORMAL:-GROUP-EC-ALL:-ECDHE-RSA:-ECDHE-ECDSA", "TLS1.2", "", "", []string{"VERS-TLS1.3"}, nil},
	} {
		p, err := ParsePriority(tt.priority, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.priority, err)
			continue
		}
		var suites13 []string
		for _, s := range p.Suites {
			if strings.HasPrefix(s, "TLS_AES") || strings.HasPrefix(s, "TLS_CHACHA") {
				suites13 = append(suites13, s)
			}
		}
		for _, c := range []struct{ what, got, want string }{
			{"versions", strings.Join(p.Versions, " "), tt.versions},
			{"suites", strings.Join(suites13, " "), tt.suites},
			{"groups", strings.Join(p.Groups, " "), tt.groups},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s %q, want %q", tt.priority, c.what, c.got, c.want)
			}
		}
		for _, n := range tt.unavailable {
			if !slices.ContainsFunc(p.Unavailable, func(have Note) bool { return have.Token == n && have.Why != "" }) {
				t.Errorf("%s: %q is not told to be unavailable: %v", tt.priority, n, p.Unavailable)
			}
		}
		if slices.ContainsFunc(p.NoEffect, func(n Note) bool { return n.Token == "SIGN" }) != strings.HasPrefix(tt.priority, "S") {
			t.Errorf("%s: what has no effect is %v", tt.priority, p.NoEffect)
		}
		for _, n := range tt.noEffect {
			if !slices.ContainsFunc(p.NoEffect, func(have Note) bool { return have.Token == n && have.Why != "" }) {
				t.Errorf("%s: %q is not told to have no effect: %v", tt.priority, n, p.NoEffect)
			}
		}
	}
}

func TestParsePriorityTellsTokenColumnAndNearest(t *testing.T) {
	for _, tt := range []struct {
		priority, token string
		column          int
		nearest         string
	}{
		{"NORMLA", "NORMLA", 1, "NORMAL"},
		{"NORMAL:+VERS-TLS13", "+VERS-TLS13", 8, "+VERS-TLS1.3"},
		{"NORMAL:-AES-128-GMC", "-AES-128-GMC", 8, "-AES-128-GCM"},
		{"NORMAL:AES-128-GCM", "AES-128-GCM", 8, "+AES-128-GCM"},
		{"NORMAL:%SERVER_PRECEDENSE", "%SERVER_PRECEDENSE", 8, "%SERVER_PRECEDENCE"},
		{"NORMAL:%compat", "%compat", 8, "%COMPAT"},
		{"NORMAL:+TLS1.3", "+TLS1.3", 8, "+VERS-TLS1.3"},
		{"NORMAL:-TLS1.2:+X", "-TLS1.2", 8, "-VERS-TLS1.2"},
		{"NORMAL:  -GROUP-X25518", "-GROUP-X25518", 10, "-GROUP-X25519"},
		{"  NORMAL:-X25519", "-X25519", 10, "-CURVE-X25519"},
		{"SECURE255", "SECURE255", 1, "SECURE256"},
		{"NORMAL::PFS", "", 8, ""},
		{"NORMAL:+QWERTYUIOP", "+QWERTYUIOP", 8, ""},
		{"@LIBVIRT,SYSTEM", "@LIBVIRT,SYSTEM", 1, ""},
	} {
		_, err := ParsePriority(tt.priority, nil)
		var e *SyntaxError
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", tt.priority, err)
			continue
		}
		if e.Token != tt.token || e.Column != tt.column || e.Nearest != tt.nearest || e.String != tt.priority || e.Reason == "" {
			t.Errorf("%q: token %q, column %d, nearest %q in %q; want %q, %d, %q", tt.priority, e.Token, e.Column, e.Nearest, e.String, tt.token, tt.column, tt.nearest)
		}
		if e.Column > 0 && e.Token != "" && !strings.HasPrefix(tt.priority[e.Column-1:], e.Token) {
			t.Errorf("%q: %q is not at column %d", tt.priority, e.Token, e.Column)
		}
	}
}

func TestParsePriorityRefusesWhatGoCannotHold(t *testing.T) {
	for _, tt := range []struct {
		priority, token string
		column          int
	}{
		{"NORMAL:-GROUP-EC-ALL:-RSA", "-RSA", 22},
		{"NORMAL:-CTYPE-X509", "-CTYPE-X509", 8},
		{"NORMAL:-VERS-TLS1.3:-VERS-TLS1.2:%COMPAT", "-VERS-TLS1.2", 21},
		{"NONE:+VERS-TLS1.3:+AES-128-CCM:+AEAD:+GROUP-ALL:+SIGN-ALL", "", 0},
		{"NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-ALL:+SIGN-EDDSA-ED448", "", 0},
		{"NORMAL:-VERS-ALL:+VERS-TLS1.3:-AES-256-GCM:-AES-128-GCM:-CHACHA20-POLY1305", "-CHACHA20-POLY1305", 57},
	} {
		_, err := ParsePriority(tt.priority, nil)
		var e *UnsupportedError
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", tt.priority, err)
			continue
		}
		if tt.token != "" && (e.Token != tt.token || e.Column != tt.column) {
			t.Errorf("%q: token %q, column %d: %v", tt.priority, e.Token, e.Column, e)
		}
	}
}

// The first reason counts, not what follows from it.
func TestUnsupportedSaysWhy(t *testing.T) {
	for priority, want := range map[string]string{
		"SECURE256:-SIGN-ALL":                          "no signature algorithm is allowed",
		"NORMAL:-GROUP-ALL:-VERS-ALL:+VERS-TLS1.3":     "no group is allowed",
		"NORMAL:-SIGN-ALL:+SIGN-ML-DSA-65":             "no signature algorithm that Go has in TLS 1.3 is allowed: add +SIGN-ALL",
		"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.1":   "GnuTLS turns TLS 1.3 off where TLS 1.2 is off",
		"NORMAL:-VERS-ALL:+VERS-TLS1.3:%NO_EXTENSIONS": "no version, or no cipher suite",
	} {
		if _, err := ParsePriority(priority, nil); err == nil && want != "" || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", priority, err, want)
		}
	}
}

func TestProfilesByName(t *testing.T) {
	for want, s := range strengths {
		if p, err := ParsePriority("NORMAL:%PROFILE_"+s.name, nil); err != nil || p.profile != want {
			t.Errorf("%s: %+v, %v", s.name, p, err)
		}
	}
}

func TestSystemFileIsBounded(t *testing.T) {
	if _, err := LoadSystem("/dev/zero"); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file without an end: %v", err)
	}
}

func TestParsePriorityIsBounded(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("N", maxPriority+1), "NORMAL" + strings.Repeat(":%COMPAT", maxTokens), "NORMAL:\x00",
	} {
		var e *SyntaxError
		if _, err := ParsePriority(s, nil); !errors.As(err, &e) {
			t.Errorf("%.20q: %v", s, err)
		}
	}
	if _, err := ParsePriority("NORMAL"+strings.Repeat(":%COMPAT", maxTokens-1), nil); err != nil {
		t.Error(err)
	}
}

func TestPolicyAsJSON(t *testing.T) {
	p, err := ParsePriority("NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM:-GROUP-ALL:+GROUP-X25519:+GROUP-X448", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"versions":["TLS1.3"],"suites":["TLS_AES_256_GCM_SHA384"],"groups":["X25519"],"added":[],` +
		`"unavailable":[{"token":"GROUP-X448","why":"Go does not have this group"}`
	if !strings.HasPrefix(string(got), want) || !strings.Contains(string(got), `"source":"NORMAL:-VERS-ALL`) {
		t.Errorf("got  %s\nwant %s…", got, want)
	}
}

func TestSystemFile(t *testing.T) {
	root := t.TempDir()
	none := func(string) string { return "" }
	if got := SystemFile(none, root); got != "" {
		t.Errorf("found %q on a host without one", got)
	}
	debian := filepath.Join(root, "etc/gnutls/config")
	write(t, debian, nil, 0o644)
	if got := SystemFile(none, root); got != debian {
		t.Errorf("found %q", got)
	}
	fedora := filepath.Join(root, "etc/crypto-policies/back-ends/gnutls.config")
	write(t, fedora, nil, 0o644)
	if got := SystemFile(none, root); got != fedora {
		t.Errorf("found %q", got)
	}
	if got := SystemFile(func(k string) string { return map[string]string{"GNUTLS_SYSTEM_PRIORITY_FILE": "/x"}[k] }, root); got != "/x" {
		t.Errorf("found %q", got)
	}
}

func TestDefaultPriority(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "NORMAL",
		"OTHER=PFS\n":                         "NORMAL",
		"SYSTEM=PFS\n":                        "@LIBVIRT,SYSTEM",
		"[priorities]\nLIBVIRT=X:":            "@LIBVIRT,SYSTEM",
		"[global]\noverride-mode=allowlist\n": "@LIBVIRT,SYSTEM",
		"[overrides]\ndefault-priority-string=SECURE\n": "SECURE",
	} {
		s, err := ParseSystem("gnutls.config", []byte(text))
		if err != nil || s.DefaultPriority() != want {
			t.Errorf("%q: %q, %v; want %q", text, s.DefaultPriority(), err, want)
		}
	}
	if got := (*System)(nil).DefaultPriority(); got != "NORMAL" {
		t.Errorf("no file: %q", got)
	}
}

func TestParseSystemTellsFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"SYSTEM=NORMAL\nnonsense\n":                      "f:2: ",
		"[priorities\n":                                  "f:1: ",
		"A=" + strings.Repeat("x", maxSystemLine) + "\n": "f:1: ",
		"\n\nA=\x00\n":                                   "f:3: ",
		strings.Repeat("#", maxSystemFile+1):             "larger",
	} {
		if _, err := ParseSystem("f", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	s, err := ParseSystem("f", []byte("[overrides]\ntls-enabled-cipher=NULL\ntls-disabled-cipher=FOO\nfoo=bar\n[x]\na=b\n"))
	if err != nil || len(s.Warnings) != 4 || !strings.HasPrefix(s.Warnings[0], "f:2: ") {
		t.Errorf("%v, %v", s.Warnings, err)
	}
	if s, err := LoadSystem(filepath.Join(t.TempDir(), "none")); err != nil || s.Path != "" {
		t.Errorf("a file that is not there: %v, %v", s, err)
	}
	dir := t.TempDir()
	if _, err := LoadSystem(dir); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder: %v", err)
	}
}
