package tlsconf

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

// listed is what gnutls-cli says of a priority string.
type listed struct {
	invalid  bool   // the error is a syntax error
	syntax   string // the rest of the string from the faulty token on
	empty    bool   // the error is that nothing is left
	suites   []uint16
	versions []string
	groups   []string
	signs    []string
}

var suiteLine = regexp.MustCompile(`^TLS_\S+\s+0x(..), 0x(..)\s`)

var later = flag.Bool("later", false, "GnuTLS is one of a release after Debian 12")

// ask runs gnutls-cli --list, with systemFile in place of the host's own.
func ask(t testing.TB, priority, systemFile string) listed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "gnutls-cli", "--list", "--priority", priority)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "GNUTLS_SYSTEM_PRIORITY_FILE=" + systemFile}
	out, err := cmd.CombinedOutput()
	var l listed
	names := func(line, prefix string) (out []string) {
		for n := range strings.SplitSeq(line, ", ") {
			if n != "none" && n != "GROUP-(null)" { // a curve that is no group
				out = append(out, strings.ToUpper(strings.TrimPrefix(n, prefix)))
			}
		}
		return out
	}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if m := suiteLine.FindStringSubmatch(line); m != nil {
			id, err := strconv.ParseUint(m[1]+m[2], 16, 16)
			if err != nil {
				t.Error(err)
			}
			l.suites = append(l.suites, uint16(id))
		}
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "Protocols":
			l.versions = names(value, "VERS-")
		case "Groups":
			l.groups = names(value, "GROUP-")
		case "PK-signatures":
			// Later ones have ML-DSA in their levels, and Go has it not.
			l.signs = slices.DeleteFunc(names(value, "SIGN-"), func(s string) bool { return strings.HasPrefix(s, "ML-DSA-") })
		case "Syntax error at":
			l.invalid, l.syntax = true, value
		case "Error in priorities":
			l.empty = true
		}
	}
	if (err != nil) != (l.invalid || l.empty) {
		t.Errorf("gnutls-cli --list --priority %q: %v\n%s", priority, err, out)
	}
	return l
}

// compare holds ParsePriority against gnutls-cli. It returns what is different, or "".
func compare(t testing.TB, priority, systemFile string) string {
	t.Helper()
	want := ask(t, priority, systemFile)
	path := systemFile
	if path == "/nonexistent" {
		path = ""
	}
	sys, err := LoadSystem(path)
	if err != nil {
		return err.Error()
	}
	p, err := ParsePriority(priority, sys)
	var syntax *SyntaxError
	var unsupported *UnsupportedError
	switch {
	case errors.As(err, &syntax):
		switch {
		case syntax.Reason == noPriorities:
			if !want.empty {
				return fmt.Sprintf("we say that nothing is left; gnutls has %+v", want)
			}
		case !want.invalid:
			return fmt.Sprintf("we say %v; gnutls has %+v", err, want)
		case syntax.From == "" && !strings.Contains(priority, ": ") && syntax.String[syntax.Column-1:] != strings.TrimLeft(want.syntax, " "):
			return fmt.Sprintf("we say %v; gnutls says: Syntax error at: %s", err, want.syntax)
		}
		return ""
	case want.invalid || want.empty:
		return fmt.Sprintf("we say %v; gnutls refuses it (at %q, empty %v)", err, want.syntax, want.empty)
	case errors.As(err, &unsupported):
		if want.usable() && !strings.Contains(unsupported.Reason, "X.509") && !strings.Contains(unsupported.Reason, "signature algorithm") {
			return fmt.Sprintf("we say %v; Go has enough of %+v", err, want)
		}
		return ""
	case err != nil:
		return err.Error()
	}
	var ids []uint16
	for _, s := range p.all.suites {
		// gnutls-cli leaves out suites for which there is no version.
		if s.version <= slices.Max(want.versions) {
			ids = append(ids, s.id)
		}
	}
	if a, b := sorted(ids), sorted(want.suites); !slices.Equal(a, b) {
		return fmt.Sprintf("suites %x; gnutls has %x", a, b)
	}
	if a, b := sorted(p.all.versions), sorted(want.versions); !slices.Equal(a, b) {
		return fmt.Sprintf("versions %v; gnutls has %v", a, b)
	}
	// gnutls-cli lists groups and signature algorithms as they were named, those of no use
	// included.
	expanded, _, err := sys.expand(priority)
	if err != nil {
		return err.Error()
	}
	l, err := parse(split(expanded), sys)
	if err != nil {
		return err.Error()
	}
	if a, b := sorted(l.signs), sorted(want.signs); !slices.Equal(a, b) {
		return fmt.Sprintf("signature algorithms %v; gnutls has %v", a, b)
	}
	if a, b := sorted(removeAll(l.groups, sys.disabledGroups...)), sorted(want.groups); !slices.Equal(a, b) {
		return fmt.Sprintf("groups %v; gnutls has %v", a, b)
	}
	// What is used is what GnuTLS has and Go has, no more.
	for _, v := range []string{"TLS1.2", "TLS1.3"} {
		if has(p.Versions, v) && !has(want.versions, v) {
			return fmt.Sprintf("version %s is used, gnutls has %v", v, want.versions)
		}
	}
	for _, id := range append(slices.Clone(p.suites12), p.suites13...) {
		if !slices.Contains(want.suites, id) || !goSuites[id] {
			return fmt.Sprintf("suite %x is used, gnutls has %x", id, want.suites)
		}
	}
	for _, id := range want.suites {
		is13 := id>>8 == 0x13
		if goSuites[id] && (is13 && has(p.Versions, "TLS1.3") && !slices.Contains(p.suites13, id) ||
			!is13 && has(p.Versions, "TLS1.2") && !slices.Contains(p.suites12, id) && !strings.Contains(priority, "FORCE_ETM") && len(p.groups) > 0) {
			return fmt.Sprintf("suite %x is not used, gnutls and Go have it", id)
		}
	}
	ec := has(p.Versions, "TLS1.3") || slices.ContainsFunc(p.suites12, func(id uint16) bool { return id >= 0xc000 })
	for _, g := range want.groups {
		if _, ok := goGroups[g]; ok && ec && sys.curveEnabled(groups[g]) && !has(p.Groups, g) {
			return fmt.Sprintf("group %s is not used, gnutls and Go have it", g)
		}
	}
	return ""
}

// usable tells whether Go has enough of what gnutls-cli lists for a handshake, signatures aside.
func (l listed) usable() bool {
	group := slices.ContainsFunc(l.groups, func(g string) bool { _, ok := goGroups[g]; return ok })
	for _, id := range l.suites {
		if !goSuites[id] {
			continue
		}
		if is13 := id>>8 == 0x13; is13 && has(l.versions, "TLS1.3") && group ||
			!is13 && has(l.versions, "TLS1.2") && (group || id < 0xc000) {
			return true
		}
	}
	return false
}

func sorted[T uint16 | string](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// byHand are strings that people write, and corners of the grammar.
var byHand = []string{
	"NORMAL", "normal", "PFS", "SECURE", "SECURE128", "SECURE192", "SECURE256", "SUITEB128", "SUITEB192", "LEGACY", "PERFORMANCE",
	"NONE", "none", "", ":", "NORMAL:", ":NORMAL", "NORMAL::PFS", " NORMAL", "NORMAL ", "NORMAL: PFS", "NORMAL:  %COMPAT",
	"NORMAL:-VERS-TLS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-TLS1.3", "NORMAL:-VERS-TLS1.2",
	"NORMAL:!VERS-TLS1.0:!VERS-TLS1.1", "NORMAL:-VERS-DTLS-ALL", "NORMAL:-VERS-TLS-ALL", "NORMAL:+VERS-SSL3.0", "NONE:+VERS-SSL3.0",
	"NORMAL:+VERS-DTLS0.9", "NORMAL:-VERS-DTLS-ALL:-VERS-TLS-ALL:+VERS-TLS1.3", "NORMAL:VERS-TLS1.3", "NORMAL:-VERS-TLS2.0", "NORMAL:+VERS-",
	"NORMAL:-VERS-TLS-ALLBUT", "NORMAL:-VERS-ALLES", "NORMAL:+VERS-TLS1.3 ",
	"NORMAL:-AES-128-GCM", "NORMAL:-AES-128-GCM:-AES-128-CCM:-AES-128-CBC", "NORMAL:+AES-128-GCM", "NORMAL:AES-128-GCM", "NORMAL:-CIPHER-ALL",
	"NORMAL:-CIPHER-ALL:+AES-256-GCM", "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-CIPHER-AES-128-GCM", "NORMAL:+CIPHER-NONSENSE",
	"NORMAL:+3DES-CBC", "NORMAL:+ARCFOUR-128", "NORMAL:+ARCFOUR-40", "NORMAL:+NULL", "NORMAL:+CAMELLIA-256-GCM:+CAMELLIA-128-CBC", "NORMAL:+AES-128-CCM-8",
	"NORMAL:-MAC-ALL", "NORMAL:-MAC-ALL:+AEAD", "NORMAL:-AEAD", "NORMAL:-SHA1", "NORMAL:+SHA256:+SHA384", "NORMAL:+MD5", "NORMAL:+MAC-NULL", "NORMAL:+MD2", "NORMAL:+MAC-SHA256",
	"NORMAL:-KX-ALL", "NORMAL:-KX-ALL:+ECDHE-RSA", "NORMAL:-KX-ALL:+ECDHE-ECDSA", "NORMAL:-RSA", "NORMAL:-DHE-RSA:-ECDHE-RSA:-ECDHE-ECDSA", "NORMAL:+DHE-DSS", "NORMAL:+RSA-EXPORT",
	"NORMAL:+ANON-DH", "NORMAL:+ANON-ECDH", "NORMAL:+PSK", "NORMAL:+ECDHE-PSK:+DHE-PSK", "NORMAL:+RSA-PSK", "NORMAL:+SRP", "NORMAL:+SRP-RSA:+SRP-DSS", "NORMAL:+KX-PSK",
	"NORMAL:-GROUP-ALL", "NORMAL:-GROUP-ALL:+GROUP-X25519", "NORMAL:-GROUP-EC-ALL", "NORMAL:-GROUP-DH-ALL", "NORMAL:-CURVE-ALL:+CURVE-SECP384R1", "NORMAL:-CURVE-X25519",
	"NORMAL:+GROUP-SECP192R1", "NORMAL:+CURVE-SECP224R1", "NORMAL:+CURVE-ED25519", "NORMAL:+CURVE-ED448", "NORMAL:-GROUP-SECP256", "NORMAL:+CURVE-NONSENSE", "NORMAL:+GROUP-FFDHE2048",
	"NORMAL:-GROUP-ALL:-VERS-TLS1.3", "NORMAL:-GROUP-ALL:+GROUP-FFDHE3072", "NORMAL:-GROUP-ALL:+GROUP-FFDHE3072:-DHE-RSA:-VERS-TLS1.3",
	"NORMAL:-SIGN-ALL", "NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256", "NORMAL:-SIGN-ALL:+SIGN-ECDSA-SECP256R1-SHA256", "NORMAL:-SIGN-ALL:+SIGN-ECDSA-SHA256", "NORMAL:-SIGN-ALL:+SIGN-RSA-MD5",
	"NORMAL:-SIGN-ALL:+SIGN-RSA-SHA256", "NORMAL:+SIGN-DSA-SHA1", "NORMAL:+SIGN-RSA-RAW", "NORMAL:+SIGN-NONSENSE", "NORMAL:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1", "NORMAL:-SIGN-ALL:+SIGN-EDDSA-ED25519",
	"NORMAL:+CTYPE-ALL", "NORMAL:+CTYPE-RAWPK", "NORMAL:+CTYPE-X509", "NORMAL:+CTYPE-X.509", "NORMAL:-CTYPE-X509", "NORMAL:+CTYPE-OPENPGP", "NORMAL:-CTYPE-CLI-ALL", "NORMAL:+CTYPE-SRV-RAWPK", "NORMAL:+CTYPE-CLI-X509",
	"NORMAL:+CTYPE-NONSENSE", "NORMAL:+CTYPE-CLI-NONSENSE", "NORMAL:-CTYPE-ALL:+CTYPE-X509",
	"NORMAL:+COMP-NULL", "NORMAL:-COMP-ALL", "NORMAL:+COMP-NONSENSE", "NORMAL:COMP-NULL",
	"NORMAL:%COMPAT", "NORMAL:%compat", "NORMAL:%SERVER_PRECEDENCE", "NORMAL:%NO_EXTENSIONS", "NORMAL:%NO_TICKETS:%NO_TICKETS_TLS12", "NORMAL:%PROFILE_HIGH", "NORMAL:%PROFILE_SUITEB192", "NORMAL:%FORCE_ETM",
	"NORMAL:%NONSENSE", "NORMAL:%", "NORMAL:%COMPATX", "%COMPAT", "NORMAL:+%COMPAT", "NORMAL:%SAFE_RENEGOTIATION:%DISABLE_WILDCARDS:%VERIFY_ALLOW_SIGN_WITH_SHA1",
	"-NORMAL", "NORMAL:-SECURE256", "NORMAL:!NORMAL", "+NORMAL", "+SECURE256", "NORMAL:+SECURE256", "SECURE256:+SECURE128", "SECURE256:SECURE128", "SUITEB192:NORMAL", "SUITEB128:+VERS-TLS1.3", "SUITEB192:+VERS-TLS1.3",
	"SUITEB128:SUITEB192", "NORMAL:SUITEB192", "NORMAL:NONE", "NONE:NORMAL", "NONE:+NORMAL", "NONE:+VERS-TLS-ALL:+NORMAL", "NONE:+VERS-TLS1.3", "PFS:-RSA:+RSA", "LEGACY:-VERS-ALL:+VERS-TLS1.0",
	"NONE:+VERS-TLS-ALL:+MAC-ALL:+RSA:+AES-128-CBC:+SIGN-ALL:+COMP-NULL", "NONE:+VERS-TLS-ALL:+AES-128-CBC:+RSA:+SHA1:+COMP-NULL:+SIGN-RSA-SHA1",
	"NONE:+VERS-TLS-ALL:+AES-128-CBC:+ECDHE-RSA:+SHA1:+COMP-NULL:+SIGN-RSA-SHA1:+CURVE-SECP256R1", "NONE:+VERS-TLS1.3:+AES-256-GCM:+AEAD:+SIGN-ALL:+GROUP-ALL",
	"NONE:+VERS-TLS1.2:+AES-256-GCM:+AEAD:+ECDHE-RSA:+SIGN-ALL:+GROUP-SECP384R1", "NONE:+VERS-TLS1.3:+AES-256-GCM:+AEAD:+SIGN-ALL", "NONE:+VERS-TLS1.3:+AES-256-GCM:+AEAD:+GROUP-ALL",
	"NONE:+VERS-TLS1.3:+AES-256-GCM:+SIGN-ALL:+GROUP-ALL", "NONE:+VERS-TLS1.3:+AEAD:+SIGN-ALL:+GROUP-ALL", "NONE:+VERS-DTLS1.2:+CIPHER-ALL:+MAC-ALL:+KX-ALL:+SIGN-ALL:+GROUP-ALL",
	"NONE:+VERS-TLS1.3:+VERS-TLS1.0:+CIPHER-ALL:+MAC-ALL:+KX-ALL:+SIGN-ALL:+GROUP-ALL", "NONE:+VERS-TLS1.3:+PSK:+CIPHER-ALL:+MAC-ALL:+SIGN-ALL",
	"NORMAL:-GOST", "NORMAL:+GOST", "NORMAL:GOST", "NORMAL:NORMAL", "NORMAL:+-RSA", "NORMAL:++RSA", "NORMAL:- RSA", "NORMAL:-", "NORMAL:+", "NORMAL:!", "NORMAL,PFS", "NORMAL;PFS", "nOrMaL:-vErS-tLs1.2",
	"@", "@SYSTEM", "@LIBVIRT,SYSTEM", "NORMAL:@SYSTEM",
}

// pieces are what the generator makes strings of.
func pieces() []string {
	out := []string{}
	for _, n := range elements() {
		// Names that are newer than the oracle, or that its build may lack.
		if strings.Contains(n, "MLKEM") || strings.Contains(n, "ML-DSA") || strings.HasPrefix(n, "CURVE-TC26") ||
			strings.HasPrefix(n, "CURVE-CRYPTOPRO") || strings.HasPrefix(n, "GROUP-GC") {
			continue
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// generate makes n strings from a seed, the same ones every time.
func generate(n int) []string {
	r := rand.New(rand.NewPCG(2026, 11))
	elements := pieces()
	var levelNames, optionNames []string
	for l := range levels {
		levelNames = append(levelNames, l)
	}
	for o := range options {
		if o != "FORCE_SESSION_HASH" && o != "NO_STATUS_REQUEST" && o != "NO_SHUFFLE_EXTENSIONS" {
			optionNames = append(optionNames, o)
		}
	}
	slices.Sort(levelNames)
	slices.Sort(optionNames)
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	var out []string
	for range n {
		tokens := []string{pick(levelNames)}
		if r.IntN(4) == 0 {
			tokens = []string{"NONE", "+VERS-" + pick([]string{"TLS1.3", "TLS1.2", "TLS-ALL", "ALL"})}
			for _, all := range []string{"+CIPHER-ALL", "+MAC-ALL", "+KX-ALL", "+SIGN-ALL", "+GROUP-ALL"} {
				if r.IntN(5) > 0 {
					tokens = append(tokens, all)
				}
			}
		}
		for range r.IntN(7) {
			t := pick([]string{"+", "-", "-", "!"}) + pick(elements)
			switch r.IntN(20) {
			case 0:
				t = "%" + pick(optionNames)
			case 1:
				t = pick(levelNames)
			case 2:
				t = "+" + pick(levelNames)
			case 3: // a typing error, which may be none
				i := r.IntN(len(t))
				t = t[:i] + t[min(i+1, len(t)):]
			case 4:
				t = strings.ToLower(t)
			}
			tokens = append(tokens, t)
		}
		out = append(out, strings.Join(tokens, ":"))
	}
	return out
}

func needTool(t testing.TB, name string) {
	t.Helper()
	needs.Program(t, name)
}

// each runs f on all cases, several at a time, and reports what it returns.
func each(t *testing.T, cases []string, f func(string) string) {
	t.Helper()
	var wg sync.WaitGroup
	work := make(chan string)
	for range 4 {
		wg.Go(func() {
			for c := range work {
				if diff := f(c); diff != "" {
					t.Errorf("%q: %s", c, diff)
				}
			}
		})
	}
	for _, c := range cases {
		work <- c
	}
	close(work)
	wg.Wait()
}

func TestPriorityAgainstGnuTLS(t *testing.T) {
	needTool(t, "gnutls-cli")
	cases := append(slices.Clone(byHand), generate(600)...)
	each(t, cases, func(s string) string {
		// gnutls-cli takes an empty string for none at all. Later ones are built without SRP, and do
		// not know its names.
		if strings.TrimSpace(s) == "" || *later && strings.Contains(strings.ToUpper(s), "SRP") {
			return ""
		}
		return compare(t, s, "/nonexistent")
	})
	t.Logf("%d strings", len(cases))
}

// systemCases are system files; each is tried with several strings.
var systemCases = map[string]string{
	"plain":        "SYSTEM=NORMAL:-VERS-TLS1.0\nLIBVIRT=SECURE256\n",
	"section":      "[priorities]\nSYSTEM = SECURE128:-VERS-TLS1.1 ; a comment\n# another\nsystem=PFS\n",
	"colon":        "SYSTEM: PFS\n",
	"first counts": "SYSTEM=PFS\nSYSTEM=NORMAL\n",
	"continued":    "SYSTEM=PFS\n  NORMAL\nLIBVIRT=SUITEB192\n",
	"bad string":   "SYSTEM=NORMAL:+NONSENSE\n",
	"blocklist":    "[global]\noverride-mode = blocklist\n[overrides]\ntls-disabled-cipher=AES-128-GCM\ntls-disabled-mac=SHA1\ntls-disabled-kx=RSA\ntls-disabled-group=GROUP-X25519\ndisabled-version=TLS1.2\n[priorities]\nSYSTEM=NORMAL\n",
	"no mode":      "[overrides]\ndisabled-curve=x25519\ndisabled-curve=secp256r1\ninsecure-hash=sha384\ninsecure-sig=rsa-sha256\ntls-enabled-cipher=AES-128-GCM\nnonsense=1\n[nonsense]\na=b\n",
	"all hashes":   "[overrides]\ninsecure-hash=sha256\ninsecure-hash=sha384\n",
	"profile":      "[overrides]\nmin-verification-profile=high\ndefault-priority-string = PFS\n",
	"crypto-policies": `[global]
override-mode = allowlist

[overrides]
secure-hash = SHA256
secure-hash = SHA384
secure-hash = SHA512
secure-sig = ECDSA-SHA256
secure-sig = ECDSA-SECP256R1-SHA256
secure-sig = ECDSA-SHA384
secure-sig = EdDSA-Ed25519
secure-sig = RSA-PSS-SHA256
secure-sig = RSA-PSS-RSAE-SHA256
secure-sig = RSA-SHA256
secure-sig-for-cert = RSA-SHA256
enabled-curve = X25519
enabled-curve = SECP256R1
enabled-curve = SECP384R1
tls-enabled-cipher = AES-256-GCM
tls-enabled-cipher = CHACHA20-POLY1305
tls-enabled-cipher = AES-128-GCM
tls-enabled-kx = ECDHE-RSA
tls-enabled-kx = ECDHE-ECDSA
tls-enabled-mac = AEAD
tls-enabled-group = GROUP-X25519
tls-enabled-group = GROUP-SECP256R1
tls-enabled-group = GROUP-SECP521R1
enabled-version = TLS1.3
enabled-version = TLS1.2
min-verification-profile = medium
`,
	"allowlist, little": "[overrides]\nsecure-hash=SHA384\ntls-enabled-cipher=AES-256-GCM\ntls-enabled-mac=AEAD\ntls-enabled-group=SECP384R1\nenabled-curve=SECP384R1\nenabled-version=TLS1.3\nsecure-sig=ECDSA-SECP384R1-SHA384\ntls-disabled-cipher=AES-256-GCM\n[global]\noverride-mode=allowlist\n",
	"allowlist, empty":  "[global]\noverride-mode=allowlist\n",
	"empty":             "",
}

func TestSystemFileAgainstGnuTLS(t *testing.T) {
	needTool(t, "gnutls-cli")
	strs := []string{
		"@SYSTEM", "@LIBVIRT,SYSTEM", "@LIBVIRT", "@system", "@NONE,SYSTEM", "@SYSTEM:-VERS-TLS1.2", "@SYSTEM:+NONSENSE", "@SYSTEM:", " @SYSTEM", "@ SYSTEM", "@SYSTEM,", "@,SYSTEM", "@SYSTEM :%COMPAT",
		"NORMAL", "SECURE256", "NORMAL:+CURVE-X25519", "NORMAL:+GROUP-X25519:-VERS-TLS1.2", "NONE:+VERS-TLS1.2:+VERS-TLS1.0:+AES-128-CBC:+SHA1:+RSA:+SIGN-ALL", "SUITEB128", "PFS:-VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
	}
	n := 0
	for name, text := range systemCases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gnutls.config")
			write(t, path, []byte(text), 0o644)
			each(t, strs, func(s string) string { return compare(t, s, path) })
		})
		n += len(strs)
	}
	t.Logf("%d strings with system files", n)
}
