package tlsconf

import "crypto/tls"

// sign is a signature algorithm: where it may be used, and what crypto/tls calls it.
type sign struct {
	tls12, tls13 bool
	hash         string
	insecure     bool
	scheme       tls.SignatureScheme // 0 if Go does not have it
}

// signs are the names that SIGN- may have (GnuTLS lib/algorithms/sign.c). Those with neither
// version have no number in TLS: they can be named, for certificates, and have no part in a
// handshake.
var signs = map[string]sign{
	"RSA-SHA256": {true, true, "SHA256", false, tls.PKCS1WithSHA256},
	"RSA-SHA384": {true, true, "SHA384", false, tls.PKCS1WithSHA384},
	"RSA-SHA512": {true, true, "SHA512", false, tls.PKCS1WithSHA512},
	"RSA-SHA1":   {true, true, "SHA1", false, tls.PKCS1WithSHA1},
	"ECDSA-SHA1": {true, true, "SHA1", false, tls.ECDSAWithSHA1},

	"RSA-PSS-SHA256":      {true, true, "SHA256", false, 0}, // for RSASSA-PSS keys, which Go does not have
	"RSA-PSS-SHA384":      {true, true, "SHA384", false, 0},
	"RSA-PSS-SHA512":      {true, true, "SHA512", false, 0},
	"RSA-PSS-RSAE-SHA256": {true, true, "SHA256", false, tls.PSSWithSHA256},
	"RSA-PSS-RSAE-SHA384": {true, true, "SHA384", false, tls.PSSWithSHA384},
	"RSA-PSS-RSAE-SHA512": {true, true, "SHA512", false, tls.PSSWithSHA512},

	"EDDSA-ED25519": {true, true, "SHA512", false, tls.Ed25519},
	"EDDSA-ED448":   {true, true, "SHAKE-256", false, 0},

	// One number with two meanings: any curve in TLS 1.2, the one curve in TLS 1.3 (RFC 8446,
	// section 4.2.3).
	"ECDSA-SHA256":           {true, false, "SHA256", false, tls.ECDSAWithP256AndSHA256},
	"ECDSA-SHA384":           {true, false, "SHA384", false, tls.ECDSAWithP384AndSHA384},
	"ECDSA-SHA512":           {true, false, "SHA512", false, tls.ECDSAWithP521AndSHA512},
	"ECDSA-SECP256R1-SHA256": {false, true, "SHA256", false, tls.ECDSAWithP256AndSHA256},
	"ECDSA-SECP384R1-SHA384": {false, true, "SHA384", false, tls.ECDSAWithP384AndSHA384},
	"ECDSA-SECP521R1-SHA512": {false, true, "SHA512", false, tls.ECDSAWithP521AndSHA512},

	"DSA-SHA1":        {true, false, "SHA1", false, 0},
	"GOSTR341012-256": {true, false, "STREEBOG-256", false, 0},
	"GOSTR341012-512": {true, false, "STREEBOG-512", false, 0},

	// GnuTLS 3.8.9 and later.
	"ML-DSA-44": {false, true, "", false, 0}, "ML-DSA-65": {false, true, "", false, 0}, "ML-DSA-87": {false, true, "", false, 0},

	"RSA-SHA224": {hash: "SHA224"}, "ECDSA-SHA224": {hash: "SHA224"}, "DSA-SHA224": {hash: "SHA224"},
	"DSA-SHA256": {hash: "SHA256"}, "DSA-SHA384": {hash: "SHA384"}, "DSA-SHA512": {hash: "SHA512"},
	"RSA-RAW": {}, "RSA-RMD160": {hash: "RIPEMD160"}, "GOSTR341001": {hash: "GOSTR341194"},
	"RSA-MD5": {hash: "MD5", insecure: true}, "RSA-MD2": {hash: "MD2", insecure: true},
	"ECDSA-SHA3-224": {hash: "SHA3-224"}, "ECDSA-SHA3-256": {hash: "SHA3-256"}, "ECDSA-SHA3-384": {hash: "SHA3-384"}, "ECDSA-SHA3-512": {hash: "SHA3-512"},
	"RSA-SHA3-224": {hash: "SHA3-224"}, "RSA-SHA3-256": {hash: "SHA3-256"}, "RSA-SHA3-384": {hash: "SHA3-384"}, "RSA-SHA3-512": {hash: "SHA3-512"},
	"DSA-SHA3-224": {hash: "SHA3-224"}, "DSA-SHA3-256": {hash: "SHA3-256"}, "DSA-SHA3-384": {hash: "SHA3-384"}, "DSA-SHA3-512": {hash: "SHA3-512"},
}
