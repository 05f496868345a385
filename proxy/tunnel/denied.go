package tunnel

import (
	"errors"
	"fmt"

	"github.com/virt-sluice/sluice/stream/record"
	"github.com/virt-sluice/sluice/tlsconf"
)

// deniedError is a client with a good certificate that nobody has let in.
type deniedError struct {
	id      tlsconf.Identity
	allowed tlsconf.Rules
}

func (e *deniedError) Error() string {
	s := fmt.Sprintf("its certificate is valid, but its name is not allowed: it has %s; allowed: %s", e.id, e.allowed)
	if hint := e.allowed.Hint(e.id); hint != "" {
		s += "; " + hint
	}
	return s + "; to let it in, put one of its names into allow (--allow of sluice tunnel)"
}

// nameRemedy is for a server that has another name than the tunnel expects.
const nameRemedy = "have it show a certificate with the expected name, or expect one that it has, by tls_name (--tls-name of sluice tunnel)"

// refusal puts the error of a handshake into the tunnel's words, where it has its own.
func (s *settings) refusal(err error, peer string) error {
	var denied *deniedError
	var he *tlsconf.HandshakeError
	switch {
	case errors.As(err, &denied):
		return fmt.Errorf("TLS with %s: %w", peer, denied)
	case errors.As(err, &he) && he.Cause == tlsconf.CauseName:
		told := *he
		told.Remedy = nameRemedy
		return &told
	case errors.Is(err, record.ErrUnsupported):
		return fmt.Errorf("TLS with %s: the path %s needs TLS 1.3, and the handshake chose an older version; use the path auto", peer, s.opts.Path)
	}
	return err
}
