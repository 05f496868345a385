package tlsconf

import "fmt"

// option is what a % token comes to here. Why is empty for one that is honoured.
type option struct {
	why     string
	widens  bool // GnuTLS would allow more, and this does not
	profile profile
}

// options are the % tokens (GnuTLS lib/priority_options.gperf, with those added up to 3.8.13).
var options = map[string]option{
	// Honoured: see Policy.
	"NO_TICKETS":                {},
	"NO_TICKETS_TLS12":          {},
	"SAFE_RENEGOTIATION":        {}, // there is no renegotiation at all
	"FORCE_ETM":                 {},
	"FORCE_SESSION_HASH":        {},
	"DISABLE_WILDCARDS":         {}, // a wildcard in a certificate never stands for a name
	"VERIFY_DISABLE_CRL_CHECKS": {},
	"PROFILE_VERY_WEAK":         {profile: profileVeryWeak},
	"PROFILE_LOW":               {profile: profileLow},
	"PROFILE_LEGACY":            {profile: profileLegacy},
	"PROFILE_MEDIUM":            {profile: profileMedium},
	"PROFILE_HIGH":              {profile: profileHigh},
	"PROFILE_ULTRA":             {profile: profileUltra},
	"PROFILE_FUTURE":            {profile: profileFuture},
	"PROFILE_SUITEB128":         {profile: profileSuiteB128},
	"PROFILE_SUITEB192":         {profile: profileSuiteB192},
	"NO_EXTENSIONS":             {why: "TLS 1.3 is off, as it needs extensions; in TLS 1.2 Go sends them all the same"},

	// They would allow more than Go does.
	"UNSAFE_RENEGOTIATION":             {why: "Go does not renegotiate", widens: true},
	"PARTIAL_RENEGOTIATION":            {why: "Go does not renegotiate", widens: true},
	"DISABLE_SAFE_RENEGOTIATION":       {why: "Go does not renegotiate", widens: true},
	"VERIFY_ALLOW_BROKEN":              {why: "Go refuses broken signatures", widens: true},
	"VERIFY_ALLOW_SIGN_RSA_MD5":        {why: "Go refuses MD5 signatures", widens: true},
	"VERIFY_ALLOW_SIGN_WITH_SHA1":      {why: "Go refuses SHA-1 signatures", widens: true},
	"VERIFY_ALLOW_X509_V1_CA_CRT":      {why: "Go wants CAs to say that they are", widens: true},
	"DEBUG_ALLOW_KEY_USAGE_VIOLATIONS": {why: "Go checks the key usage", widens: true},
	"ALLOW_SMALL_RECORDS":              {why: "Go does not negotiate the size of records", widens: true},

	// They change nothing about what is allowed.
	"COMPAT":                    {why: "it works around faults of old peers that Go does not have to work around"},
	"DUMBFW":                    {why: "Go does not pad its hello"},
	"NO_ETM":                    {why: "Go does not have encrypt-then-MAC"},
	"NO_SESSION_HASH":           {why: "Go offers the extended master secret always, and uses it where the peer does"},
	"STATELESS_COMPRESSION":     {why: "there is no compression any more"},
	"SSL3_RECORD_VERSION":       {why: "Go sets the version of its records itself"},
	"LATEST_RECORD_VERSION":     {why: "Go sets the version of its records itself"},
	"FALLBACK_SCSV":             {why: "nothing here falls back to an older version"},
	"SERVER_PRECEDENCE":         {why: "a Go server always decides by its own order"},
	"NEW_PADDING":               {why: "GnuTLS passes over it too"},
	"DISABLE_TLS13_COMPAT_MODE": {why: "Go always uses the compatible form"},
	"NO_STATUS_REQUEST":         {why: "Go asks for an OCSP response always, and needs none"},
	"NO_SHUFFLE_EXTENSIONS":     {why: "Go does not shuffle extensions"},
}

func (l *lists) option(t token, word string) error {
	o, ok := options[word]
	if !ok {
		return unknown(t, fmt.Sprintf("there is no option %q", t.text))
	}
	l.options[word] = true
	if o.profile != profileNone {
		l.profile = o.profile
	}
	switch {
	case o.why != "" && o.widens:
		l.notes = append(l.notes, Note{Token: t.text, Why: o.why, widens: true})
	case o.why != "":
		l.note(t, o.why)
	}
	return nil
}
