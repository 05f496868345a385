package stream

import (
	"crypto/tls"
	"strings"

	"github.com/virt-sluice/sluice/stream/relay"
)

// tlsNames are the version and the suite in use, in IANA's spelling, both
// empty for a connection in clear.
func tlsNames(c relay.Conn) (version, suite string) {
	state, ok := c.ConnectionState()
	if !ok {
		return "", ""
	}
	return strings.ReplaceAll(tls.VersionName(state.Version), " ", ""), tls.CipherSuiteName(state.CipherSuite)
}
