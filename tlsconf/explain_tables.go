package tlsconf

// alerts are what a peer may have meant with an alert (RFC 8446, section 6; GnuTLS and OpenSSL
// send them for the same reasons, bad_certificate for nearly all).
var alerts = map[uint8]struct {
	cause        Cause
	what, remedy string
}{
	40:  {CausePolicy, "the peer found no version, cipher suite, group or signature algorithm in common", "compare the TLS priorities of both hosts, and have the peer use an ECDSA, RSA or Ed25519 certificate"},
	42:  {CauseBadCert, "the peer refused this host's certificate", "the reason is in the peer's log: wrong CA, out of date, or another name than the peer expects"},
	43:  {CauseBadCert, "the peer does not take certificates of this kind", "use an ECDSA or RSA certificate"},
	44:  {CauseRevoked, "the peer refused this host's certificate as revoked", "have a new one issued"},
	45:  {CauseExpired, "the peer refused this host's certificate as out of date", "have it renewed, or set the clocks right"},
	46:  {CauseBadCert, "the peer refused this host's certificate", "the reason is in the peer's log"},
	48:  {CauseWrongCA, "the peer refused this host's certificate: it does not come from a CA that the peer trusts", "put the CA that issued it into the peer's CA file"},
	49:  {CauseDenied, "the peer refused this host: access denied", "its name may not be on the peer's list, or the peer may not take its certificate at all (GnuTLS's servers say the same for both): the reason is in the peer's log"},
	51:  {CauseOther, "the peer could not verify this host's signature", "check that key and certificate belong together"},
	70:  {CauseVersion, "the peer speaks none of the TLS versions that this host allows", "compare the TLS priorities of both hosts"},
	71:  {CausePolicy, "the peer finds what this host offers not secure enough", "compare the TLS priorities of both hosts"},
	100: {CauseOther, "the peer does not negotiate a connection anew (TLS 1.2's renegotiation)", "have both use TLS 1.3, which has none"},
	109: {CauseOther, "the peer missed an extension in this host's hello", ""},
	112: {CauseName, "the peer does not know the server name it was asked for", ""},
	116: {CauseNoCertificate, "the peer needs a certificate of this host, and was shown none", "give this host a client certificate; one that it has is not shown where the peer takes no signature that its key can make (ML-DSA's alone, perhaps)"},
	120: {CauseProtocol, "the peer speaks none of the protocols offered (ALPN)", "its sluice is older or newer than this one, or something else is on that port"},
}

// texts are errors for which crypto/tls has only words. A test looks each up in the toolchain's
// sources, and the usual ones are provoked with real handshakes.
var texts = []struct {
	text         string
	cause        Cause
	what, remedy string
}{
	{"tls: client didn't provide a certificate", CauseNoCertificate, "the peer showed no certificate, and this host needs one", "give the peer a client certificate from a CA that this host trusts, with an ECDSA, RSA or Ed25519 key: no other kind is shown"},
	{"tls: client offered only unsupported versions", CauseVersion, "the peer offers no TLS version that this host allows", "compare the TLS priorities of both hosts"},
	{"tls: server selected unsupported protocol version", CauseVersion, "the peer chose a TLS version that this host does not allow", "compare the TLS priorities of both hosts"},
	{"tls: no cipher suite supported by both", CausePolicy, "no cipher suite in common", "compare the TLS priorities of both hosts"},
	{"tls: no key exchanges supported by both", CausePolicy, "no key exchange group in common", "compare the TLS priorities of both hosts"},
	{"tls: server selected unsupported group", CausePolicy, "the peer chose a key exchange group that this host does not allow", "compare the TLS priorities of both hosts"},
	{"tls: client requested unsupported application protocols", CauseProtocol, "the peer offers only protocols that this host does not speak (ALPN)", "compare the versions of sluice on both hosts"},
	{"tls: peer doesn't support any of the certificate's signature algorithms", CausePolicy, "this host's certificate can make none of the signatures that the peer and this host's TLS priority allow", "use a certificate with another kind of key; a peer that takes ML-DSA's signatures alone must allow others"},
	{"tls: no supported versions satisfy", CauseVersion, "this host's TLS priority and its minimum version leave no version", "allow TLS 1.3"},
	{"tls: first record does not look like a TLS handshake", CauseNotTLS, "the peer does not speak TLS", "check the port"},
	{"tls: client certificate contains an unsupported public key of type", CauseBadCert, "the peer's certificate has a kind of key that Go does not know (Ed448, RSASSA-PSS or ML-DSA, perhaps)", "use an ECDSA, RSA or Ed25519 certificate"},
	{"tls: server's certificate contains an unsupported type of public key", CauseBadCert, "the peer's certificate has a kind of key that Go does not know (Ed448, RSASSA-PSS or ML-DSA, perhaps)", "use an ECDSA, RSA or Ed25519 certificate"},
}
