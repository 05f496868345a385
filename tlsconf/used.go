package tlsconf

import (
	"crypto/tls"
	"strings"
)

// Used is what a handshake came to. The zero value is a connection in clear.
type Used struct {
	Version string // such as "TLS1.3"
	Suite   string // IANA's name
	Group   string // GnuTLS's name, as in Policy.Groups
}

// UsedBy is what it came to on a connection; ok is false for one in clear.
func UsedBy(state tls.ConnectionState, ok bool) (u Used) {
	if !ok {
		return u
	}
	u.Version, u.Suite = strings.ReplaceAll(tls.VersionName(state.Version), " ", ""), tls.CipherSuiteName(state.CipherSuite)
	for name, id := range goGroups {
		if id == state.CurveID {
			u.Group = name
		}
	}
	return u
}
