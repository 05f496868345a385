package tlsconf

import (
	"math/rand/v2"
	"slices"
	"strings"
)

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
