package check

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
)

// ShowCertificate makes a client show its certificate also to a server that
// has not listed its CA among those it trusts. Left to itself crypto/tls would
// show none, and the server say that one is missing rather than that it comes
// from the wrong CA. asked is told of each request; it may be nil.
func ShowCertificate(cfg *tls.Config, asked func(*tls.CertificateRequestInfo)) {
	cfg.GetClientCertificate = func(req *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if asked != nil {
			asked(req)
		}
		for i := range cfg.Certificates {
			if req.SupportsCertificate(&cfg.Certificates[i]) == nil {
				return &cfg.Certificates[i], nil
			}
		}
		// Of a kind that the server can check at least.
		anyCA := *req
		anyCA.AcceptableCAs = nil
		for i := range cfg.Certificates {
			if anyCA.SupportsCertificate(&cfg.Certificates[i]) == nil {
				return &cfg.Certificates[i], nil
			}
		}
		return new(tls.Certificate), nil
	}
}

// names are the CAs of a server's request, for a person.
func names(raw [][]byte) []string {
	var out []string
	for _, der := range raw {
		var rdn pkix.RDNSequence
		if rest, err := asn1.Unmarshal(der, &rdn); err != nil || len(rest) > 0 {
			continue
		}
		var n pkix.Name
		n.FillFromRDNSequence(&rdn)
		out = append(out, n.String())
	}
	return out
}
