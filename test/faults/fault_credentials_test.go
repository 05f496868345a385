package faults

import (
	"crypto/x509"
	"os"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/internal/site"
)

// credentialFaults change what TLS goes by. A connection is checked once, at its handshake, so that
// those which are open go on; what is dialled later, such as a question what became of the guest,
// goes by what is new.
func credentialFaults() (list []*fault) {
	for _, on := range []struct {
		name   string
		daemon func(s *stage) *site.Daemon
	}{
		{"-a", func(s *stage) *site.Daemon { return s.site.A }},
		{"-b", func(s *stage) *site.Daemon { return s.site.B }},
	} {
		add := func(how, hits string, strike func(s *stage, d *site.Daemon) error) {
			list = append(list, &fault{name: "certificate" + on.name + ":" + how, hits: hits, apart: hits != "", at: []string{"prepare", "copy", "finish"},
				strike: func(s *stage) error {
					d := on.daemon(s)
					if err := strike(s, d); err != nil {
						return err
					}
					return syscall.Kill(d.Pid(), syscall.SIGHUP)
				}})
		}
		add("reload", "", func(*stage, *site.Daemon) error { return nil })
		add("replaced", "", func(s *stage, d *site.Daemon) error {
			return s.certify(d, s.site.CA, pki.Host{})
		})
		add("expires", "link", func(s *stage, d *site.Daemon) error {
			return s.certify(d, s.site.CA, pki.Host{NotAfter: time.Now().Add(2 * time.Second)})
		})
		add("of-another-authority", "link", func(s *stage, d *site.Daemon) error {
			other, err := pki.NewCA(pki.Authority{Name: "another CA"})
			if err != nil {
				return err
			}
			return s.certify(d, other, pki.Host{})
		})
	}
	list = append(list, &fault{name: "certificate-a:revoked", hits: "link", apart: true, at: []string{"prepare", "copy", "finish"},
		strike: func(s *stage) error {
			crl, err := s.site.CA.CRL(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{s.site.A.Pair.Cert}})
			if err != nil {
				return err
			}
			if err := os.WriteFile(s.B.Path("/etc/pki/CA/cacrl.pem"), crl, 0o644); err != nil {
				return err
			}
			s.undo = append(s.undo, func() error { return os.Remove(s.B.Path("/etc/pki/CA/cacrl.pem")) })
			return syscall.Kill(s.site.B.Pid(), syscall.SIGHUP)
		}})
	return list
}

// certify gives a host another certificate. It trusts the site's authority as before.
func (s *stage) certify(d *site.Daemon, ca *pki.CA, spec pki.Host) error {
	spec.Names = []string{d.Host.Name}
	pair, err := ca.Issue(spec)
	if err != nil {
		return err
	}
	// As a tool does that knows nothing of sluice: the old files go, then new ones come.
	if err := d.Host.RemoveFiles("/etc/pki/libvirt"); err != nil {
		return err
	}
	_, err = pki.WriteLayout(d.Host.Path("/etc/pki"), pki.LayoutLibvirt, pki.Set{CA: s.site.CA, Server: pair, Client: pair})
	return err
}
