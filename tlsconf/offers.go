package tlsconf

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Explain is the function Explain, with this host's offer, and the peer's as far as it is known,
// added where the two have nothing in common. p may be nil: then the configuration was made without
// a policy.
func (p *Policy) Explain(err error, peer string) error {
	var he *HandshakeError
	if errors.As(err, &he) {
		return err
	}
	err = Explain(err, peer)
	if !errors.As(err, &he) || he.Cause != CauseVersion && he.Cause != CausePolicy {
		return err
	}
	if pe := (*PolicyError)(nil); errors.As(he.Err, &pe) {
		return err // says what is allowed already
	}
	with := *he
	with.What += "; " + p.offer(he.Cause)
	if theirs := offered(he.Err.Error()); theirs != "" {
		with.What += "; the peer offers " + theirs
	} else {
		with.What += "; what the peer would take, it does not say"
	}
	return &with
}

// offer is what this host allows of what was in question.
func (p *Policy) offer(c Cause) string {
	switch {
	case p == nil:
		return "this host allows TLS 1.3 with Go's suites and groups"
	case c == CauseVersion:
		return fmt.Sprintf("this host allows %s (TLS priority %q)", strings.Join(p.Versions, ", "), p.Source)
	}
	return fmt.Sprintf("this host allows %s with %s and the groups %s (TLS priority %q)",
		strings.Join(p.Versions, ", "), strings.Join(p.Suites, ", "), strings.Join(p.Offered(), ", "), p.Source)
}

// offered reads the peer's versions or suites out of an error of crypto/tls, which
// gives them in hexadecimal: "client offered only unsupported versions: [303 302]".
func offered(text string) string {
	_, list, ok := strings.Cut(text, "[")
	if !ok {
		return ""
	}
	list, _, ok = strings.Cut(list, "]")
	if !ok {
		return ""
	}
	isVersion := strings.Contains(text, "version")
	var names []string
	for f := range strings.FieldsSeq(list) {
		n, err := strconv.ParseUint(f, 16, 16)
		if err != nil {
			return ""
		}
		if id := uint16(n); isVersion {
			names = append(names, tls.VersionName(id))
		} else if id&0x0f0f != 0x0a0a && id != 0x00ff && id != tls.TLS_FALLBACK_SCSV { // GREASE and signals are no suites
			names = append(names, suiteName(id))
		}
	}
	if len(names) > maxOffers {
		names = append(names[:maxOffers], fmt.Sprintf("and %d more", len(names)-maxOffers))
	}
	return strings.Join(names, ", ")
}

// maxOffers is how many versions or suites of a stranger's are named; it may offer 32,767.
const maxOffers = 16

func suiteName(id uint16) string {
	for _, s := range suites {
		if s.id == id {
			return s.name
		}
	}
	return tls.CipherSuiteName(id)
}
