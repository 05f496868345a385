package bench

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/virt-sluice/sluice/internal/pki"
)

const (
	// certName is the name in the certificate that all relays have.
	certName = "bench"
	suite    = "TLS_AES_128_GCM_SHA256"
)

// end is one of the two relays of a measurement.
type end struct {
	name  string // the contender's
	sends bool   // listens at the local socket and connects to its peer; the other one the other way
	local string // path of the unix socket
	peer  string // HOST:PORT of the TCP connections
	dir   string // for its files
	certs string // the folder with the certificates
}

func (e *end) ca() string   { return filepath.Join(e.certs, "ca-cert.pem") }
func (e *end) cert() string { return filepath.Join(e.certs, "server-cert.pem") }
func (e *end) key() string  { return filepath.Join(e.certs, "server-key.pem") }

// both is certificate and key in one file.
func (e *end) both() string { return filepath.Join(e.certs, "both.pem") }

// file writes one of the relay's files and returns its path. The folder is
// new, so what could go wrong shows when the program reads it.
func (e *end) file(name, text string) string {
	path := filepath.Join(e.dir, name)
	os.WriteFile(path, []byte(text), 0o600)
	return path
}

// opensslConf is the file in the certificates' folder that keeps OpenSSL to one
// suite: not all programs have a setting for those of TLS 1.3.
const opensslConf = "openssl.cnf"

// makeCerts fills a folder with what the relays need.
func makeCerts(dir string) error {
	ca, err := pki.NewCA(pki.Authority{Name: "bench CA"})
	if err != nil {
		return err
	}
	pair, err := ca.Issue(pki.Host{Names: []string{certName}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err != nil {
		return err
	}
	if _, err := pki.WriteLayout(dir, pki.LayoutQEMU, pki.Set{CA: ca, Server: pair, Client: pair}); err != nil {
		return err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "both.pem"), append(pair.CertPEM(), key...), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, opensslConf), fmt.Appendf(nil, `openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = default
[default]
MinProtocol = TLSv1.3
Ciphersuites = %s
`, suite), 0o600)
}
