package check

import (
	"crypto/x509/pkix"
	"encoding/asn1"
)

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
