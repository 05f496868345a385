package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// Revocation says what a CRL shall hold.
type Revocation struct {
	Number     int64 // of the list; must rise
	Revoked    []*x509.Certificate
	ThisUpdate time.Time // now if zero
	NextUpdate time.Time // thirty days from now if zero
	Extra      []pkix.Extension
}

// CRL signs a revocation list and returns it as PEM.
func (ca *CA) CRL(r Revocation) ([]byte, error) {
	list := &x509.RevocationList{
		Number:     big.NewInt(r.Number),
		ThisUpdate: r.ThisUpdate,
		NextUpdate: r.NextUpdate,

		ExtraExtensions: r.Extra,
	}
	if list.ThisUpdate.IsZero() {
		list.ThisUpdate = time.Now().Add(-backdate)
	}
	if list.NextUpdate.IsZero() {
		list.NextUpdate = time.Now().AddDate(0, 0, 30)
	}
	for _, c := range r.Revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: list.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.Cert, ca.Key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}
