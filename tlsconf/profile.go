package tlsconf

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"
)

// profile is how strong the keys and signatures of a certificate chain must be. The numbers are
// GnuTLS's (gnutls_certificate_verification_profiles_t): of two, a level takes the smaller.
type profile int

const (
	profileNone      profile = 0
	profileVeryWeak  profile = 1
	profileLow       profile = 2
	profileLegacy    profile = 4
	profileMedium    profile = 5
	profileHigh      profile = 6
	profileUltra     profile = 7
	profileFuture    profile = 8
	profileSuiteB128 profile = 32
	profileSuiteB192 profile = 33
)

// strength is what a profile asks for, in bits (GnuTLS lib/algorithms/secparams.c).
type strength struct {
	name             string
	rsa, ec, digest  int
	level            int // to compare two profiles with
	suiteB, onlyP384 bool
}

var strengths = map[profile]strength{
	profileVeryWeak:  {"VERY_WEAK", 767, 0, 64, 1, false, false},
	profileLow:       {"LOW", 1024, 160, 80, 3, false, false},
	profileLegacy:    {"LEGACY", 1776, 192, 96, 4, false, false},
	profileMedium:    {"MEDIUM", 2048, 224, 112, 5, false, false},
	profileHigh:      {"HIGH", 3072, 256, 128, 6, false, false},
	profileUltra:     {"ULTRA", 8192, 384, 192, 7, false, false},
	profileFuture:    {"FUTURE", 15360, 512, 256, 8, false, false},
	profileSuiteB128: {"SUITEB128", 0, 256, 128, 6, true, false},
	profileSuiteB192: {"SUITEB192", 0, 384, 192, 7, true, true},
}

// profileByName is case-insensitive and takes both %PROFILE_ forms and those of the system file
// ("very weak").
func profileByName(name string) (profile, bool) {
	name = strings.ReplaceAll(strings.ToUpper(name), " ", "_")
	for p, s := range strengths {
		if s.name == name {
			return p, true
		}
	}
	return profileNone, false
}

// digestBits is the strength of a certificate's signature's hash: half its length.
var digestBits = map[x509.SignatureAlgorithm]int{
	x509.MD5WithRSA: 0, x509.SHA1WithRSA: 80, x509.ECDSAWithSHA1: 80,
	x509.SHA256WithRSA: 128, x509.SHA256WithRSAPSS: 128, x509.ECDSAWithSHA256: 128,
	x509.SHA384WithRSA: 192, x509.SHA384WithRSAPSS: 192, x509.ECDSAWithSHA384: 192,
	x509.SHA512WithRSA: 256, x509.SHA512WithRSAPSS: 256, x509.ECDSAWithSHA512: 256,
	x509.PureEd25519: 256,
}

// check tells what is too weak about a chain whose last certificate is the trusted one, as GnuTLS's
// is_level_acceptable does (lib/x509/verify.c): every key, and every signature but the root's own.
func (p profile) check(chain []*x509.Certificate) error {
	want, ok := strengths[p]
	if !ok {
		return nil
	}
	for i, c := range chain {
		kind, bits := keyOf(c)
		switch least := want.ec; {
		case want.suiteB && kind != "EC":
			return fmt.Errorf("%q has an %s key, and the profile %s allows only P-256 and P-384", c.Subject, kind, want.name)
		case want.suiteB && bits != 384 && (want.onlyP384 || bits != 256):
			return fmt.Errorf("%q has an EC key of %d bits, which the profile %s does not allow", c.Subject, bits, want.name)
		case kind == "RSA" && bits < want.rsa, kind != "RSA" && bits < least:
			if kind == "RSA" {
				least = want.rsa
			}
			return fmt.Errorf("%q has an %s key of %d bits, less than the %d of the profile %s", c.Subject, kind, bits, least, want.name)
		}
		if i == len(chain)-1 {
			break
		}
		if got, known := digestBits[c.SignatureAlgorithm]; !known || got < want.digest {
			return fmt.Errorf("%q is signed with %v, weaker than the profile %s allows", c.Subject, c.SignatureAlgorithm, want.name)
		}
	}
	return nil
}

// keyOf gives the kind and the size in bits of a certificate's key.
func keyOf(c *x509.Certificate) (kind string, bits int) {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA", k.N.BitLen()
	case *ecdsa.PublicKey:
		return "EC", curveBits(k.Curve)
	case ed25519.PublicKey:
		return "Ed25519", 256
	}
	return fmt.Sprintf("%v", c.PublicKeyAlgorithm), 0
}

func curveBits(c elliptic.Curve) int { return c.Params().BitSize }
