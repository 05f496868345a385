package tlsconf

// The names in this file, and what they stand for, are those of GnuTLS 3.7.9
// (lib/priority.c, lib/algorithms/*.c), with the names that releases up to 3.8.13 have added.
// Lists are in GnuTLS's order, although order has no effect here.

// level is what a keyword such as NORMAL stands for. A nil list leaves the list as it is.
type level struct {
	versions, ciphers, macs, kxs, signs, groups []string
	profile                                     profile
}

var (
	versionsAll  = []string{"TLS1.3", "TLS1.2", "TLS1.1", "TLS1.0", "DTLS1.2", "DTLS1.0"}
	versionsTLS  = []string{"TLS1.3", "TLS1.2", "TLS1.1", "TLS1.0"}
	versionsDTLS = []string{"DTLS1.2", "DTLS1.0"}
	// versionsNoDTLS is what -VERS-DTLS-ALL takes away, which is more than +VERS-DTLS-ALL adds.
	versionsNoDTLS = []string{"DTLS1.2", "DTLS1.0", "DTLS0.9"}
	versionsSuiteB = []string{"TLS1.2"}

	groupsDH     = []string{"FFDHE2048", "FFDHE3072", "FFDHE4096", "FFDHE6144", "FFDHE8192"}
	groupsEC     = []string{"SECP256R1", "SECP384R1", "SECP521R1", "X25519", "X448"}
	groupsGOST   = []string{"GC256A", "GC256B", "GC256C", "GC256D", "GC512A", "GC512B", "GC512C"}
	groupsNormal = []string{"SECP256R1", "SECP384R1", "SECP521R1", "X25519", "X448",
		"FFDHE2048", "FFDHE3072", "FFDHE4096", "FFDHE6144", "FFDHE8192"}
	groupsSecure192 = []string{"SECP384R1", "SECP521R1", "FFDHE8192"}

	kxSecure      = []string{"ECDHE-ECDSA", "ECDHE-RSA", "RSA", "DHE-RSA"}
	kxPerformance = []string{"RSA", "ECDHE-ECDSA", "ECDHE-RSA", "DHE-RSA"}
	kxPFS         = []string{"ECDHE-ECDSA", "ECDHE-RSA", "DHE-RSA"}
	kxSuiteB      = []string{"ECDHE-ECDSA"}
	kxGOST        = []string{"VKO-GOST-12"}

	ciphersNormal = []string{"AES-256-GCM", "CHACHA20-POLY1305", "AES-256-CCM", "AES-256-CBC",
		"AES-128-GCM", "AES-128-CCM", "AES-128-CBC"}
	ciphersSecure192 = []string{"AES-256-GCM", "CHACHA20-POLY1305", "AES-256-CBC", "AES-256-CCM"}
	ciphersSuiteB128 = []string{"AES-256-GCM", "AES-128-GCM"}
	ciphersSuiteB192 = []string{"AES-256-GCM"}
	ciphersGOST      = []string{"GOST28147-TC26Z-CNT"}

	macsNormal = []string{"SHA1", "AEAD"}
	macsAEAD   = []string{"AEAD"}
	macsGOST   = []string{"GOST28147-TC26Z-IMIT"}

	signsSecure128 = []string{
		"RSA-SHA256", "RSA-PSS-SHA256", "RSA-PSS-RSAE-SHA256", "ECDSA-SHA256", "ECDSA-SECP256R1-SHA256",
		"EDDSA-ED25519",
		"RSA-SHA384", "RSA-PSS-SHA384", "RSA-PSS-RSAE-SHA384", "ECDSA-SHA384", "ECDSA-SECP384R1-SHA384",
		"EDDSA-ED448",
		"RSA-SHA512", "RSA-PSS-SHA512", "RSA-PSS-RSAE-SHA512", "ECDSA-SHA512", "ECDSA-SECP521R1-SHA512"}
	signsDefault   = append(signsSecure128[:len(signsSecure128):len(signsSecure128)], "RSA-SHA1", "ECDSA-SHA1")
	signsSecure192 = []string{
		"RSA-SHA384", "RSA-PSS-SHA384", "RSA-PSS-RSAE-SHA384", "ECDSA-SHA384", "ECDSA-SECP384R1-SHA384",
		"EDDSA-ED448",
		"RSA-SHA512", "RSA-PSS-SHA512", "RSA-PSS-RSAE-SHA512", "ECDSA-SHA512", "ECDSA-SECP521R1-SHA512"}
	signsSuiteB128 = []string{"ECDSA-SHA256", "ECDSA-SECP256R1-SHA256", "ECDSA-SHA384", "ECDSA-SECP384R1-SHA384"}
	signsSuiteB192 = []string{"ECDSA-SHA384", "ECDSA-SECP384R1-SHA384"}
	signsGOST      = []string{"GOSTR341012-256", "GOSTR341012-512"}
)

var (
	levelNormal    = level{nil, ciphersNormal, macsNormal, kxSecure, signsDefault, groupsNormal, profileLow}
	levelSecure128 = level{nil, ciphersNormal, macsNormal, kxSecure, signsSecure128, groupsNormal, profileLow}
	levelSecure192 = level{nil, ciphersSecure192, macsAEAD, kxSecure, signsSecure192, groupsSecure192, profileHigh}
)

// levels are the keywords, NONE excepted, which is one in the first place only.
var levels = map[string]level{
	"NORMAL":      levelNormal,
	"PFS":         {nil, ciphersNormal, macsNormal, kxPFS, signsDefault, groupsNormal, profileLow},
	"SECURE":      levelSecure128,
	"SECURE128":   levelSecure128,
	"SECURE192":   levelSecure192,
	"SECURE256":   levelSecure192,
	"SUITEB128":   {versionsSuiteB, ciphersSuiteB128, macsAEAD, kxSuiteB, signsSuiteB128, []string{"SECP256R1", "SECP384R1"}, profileSuiteB128},
	"SUITEB192":   {versionsSuiteB, ciphersSuiteB192, macsAEAD, kxSuiteB, signsSuiteB192, []string{"SECP384R1"}, profileSuiteB192},
	"LEGACY":      {nil, ciphersNormal, macsNormal, kxSecure, signsDefault, groupsNormal, profileNone},
	"PERFORMANCE": {nil, ciphersNormal, macsNormal, kxPerformance, signsDefault, groupsNormal, profileLow},
}

// ciphers are the names of ciphers. One that is false can be named, and naming it does nothing.
var ciphers = map[string]bool{
	"AES-256-CBC": true, "AES-192-CBC": true, "AES-128-CBC": true,
	"AES-128-GCM": true, "AES-192-GCM": true, "AES-256-GCM": true,
	"AES-128-CCM": true, "AES-256-CCM": true, "AES-128-CCM-8": true, "AES-256-CCM-8": true,
	"ARCFOUR-128": true, "ESTREAM-SALSA20-256": true, "SALSA20-256": true,
	"CHACHA20-32": true, "CHACHA20-64": true, "CHACHA20-POLY1305": true,
	"CAMELLIA-256-CBC": true, "CAMELLIA-192-CBC": true, "CAMELLIA-128-CBC": true,
	"CAMELLIA-128-GCM": true, "CAMELLIA-256-GCM": true,
	"GOST28147-TC26Z-CFB": true, "GOST28147-CPA-CFB": true, "GOST28147-CPB-CFB": true,
	"GOST28147-CPC-CFB": true, "GOST28147-CPD-CFB": true, "GOST28147-TC26Z-CNT": true,
	"AES-128-CFB8": true, "AES-192-CFB8": true, "AES-256-CFB8": true,
	"AES-128-XTS": true, "AES-256-XTS": true, "AES-128-SIV": true, "AES-256-SIV": true,
	"MAGMA-CTR-ACPKM": true, "KUZNYECHIK-CTR-ACPKM": true,
	"3DES-CBC": true, "DES-CBC": true, "RC2-40": true, "NULL": true,
	"ARCFOUR-40": false,
}

var macs = set("SHA1", "SHA256", "SHA384", "SHA512", "SHA224", "UMAC-96", "UMAC-128", "AEAD", "MD5",
	"GOSTR341194", "STREEBOG-256", "STREEBOG-512", "AES-CMAC-128", "AES-CMAC-256",
	"AES-GMAC-128", "AES-GMAC-192", "AES-GMAC-256", "GOST28147-TC26Z-IMIT", "OMAC-MAGMA", "OMAC-KUZNYECHIK")

// kxs are the key exchanges. RSA-EXPORT can be named, and naming it does nothing.
var kxs = map[string]bool{
	"ECDHE-RSA": true, "ECDHE-ECDSA": true, "RSA": true, "DHE-RSA": true, "DHE-DSS": true,
	"PSK": true, "RSA-PSK": true, "DHE-PSK": true, "ECDHE-PSK": true,
	"SRP-DSS": true, "SRP-RSA": true, "SRP": true, "ANON-DH": true, "ANON-ECDH": true,
	"VKO-GOST-12": true, "RSA-EXPORT": false,
}

var versions = set("SSL3.0", "TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3", "DTLS0.9", "DTLS1.0", "DTLS1.2")

// groups are the groups; the value is the curve that one has, or "" for one without.
var groups = map[string]string{
	"SECP192R1": "SECP192R1", "SECP224R1": "SECP224R1", "SECP256R1": "SECP256R1", "SECP384R1": "SECP384R1",
	"SECP521R1": "SECP521R1", "X25519": "X25519", "X448": "X448",
	"GC256A": "TC26-256-A", "GC256B": "TC26-256-B", "GC256C": "TC26-256-C", "GC256D": "TC26-256-D",
	"GC512A": "TC26-512-A", "GC512B": "TC26-512-B", "GC512C": "TC26-512-C",
	"FFDHE2048": "", "FFDHE3072": "", "FFDHE4096": "", "FFDHE6144": "", "FFDHE8192": "",
	// GnuTLS 3.8.9 and later.
	"MLKEM768": "", "MLKEM1024": "",
	"X25519-MLKEM768": "X25519", "SECP256R1-MLKEM768": "SECP256R1", "SECP384R1-MLKEM1024": "SECP384R1",
}

// curves are what CURVE- may name; the value is the group, or "" for a curve that is none.
var curves = map[string]string{
	"SECP192R1": "SECP192R1", "SECP224R1": "SECP224R1", "SECP256R1": "SECP256R1", "SECP384R1": "SECP384R1",
	"SECP521R1": "SECP521R1", "X25519": "X25519", "X448": "X448", "ED25519": "", "ED448": "",
	"CRYPTOPRO-A": "", "CRYPTOPRO-B": "", "CRYPTOPRO-C": "", "CRYPTOPRO-XCHA": "", "CRYPTOPRO-XCHB": "",
	"TC26-256-A": "GC256A", "TC26-256-B": "GC256B", "TC26-256-C": "GC256C", "TC26-256-D": "GC256D",
	"TC26-512-A": "GC512A", "TC26-512-B": "GC512B", "TC26-512-C": "GC512C",
}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
