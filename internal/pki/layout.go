package pki

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// LayoutLibvirt puts the files below dir as libvirt has them below /etc/pki
	// (libvirt docs/kbase/tlscerts.rst): dir can be copied onto /etc/pki as it is.
	LayoutLibvirt = "libvirt"
	// LayoutQEMU puts all files into dir, under the names QEMU's tls-creds-x509 object
	// looks for (QEMU docs/system/tls.rst).
	LayoutQEMU = "qemu"
)

// Set is what one host's folder holds. Server and Client may be the same pair.
type Set struct {
	CA     *CA
	Server *Pair
	Client *Pair
	CRL    []byte // PEM; none if nil
}

type file struct {
	path string // relative
	mode fs.FileMode
	data []byte
	// shared marks what is the same for every host: it may be there already, with the same content.
	shared bool
}

// WriteLayout writes a host's files below dir, making folders as needed
// (keys 0600 in a folder of 0700, the rest 0644), and returns their paths.
//
// Nothing is overwritten: if one of the files is there already, nothing at all
// is written, except that a CA certificate with the same content is left as it
// is. If a later step fails, what was written is removed again.
func WriteLayout(dir, layout string, s Set) ([]string, error) {
	files, err := s.files(layout)
	if err != nil {
		return nil, err
	}
	return writeFiles(dir, files)
}

// WriteCA writes the CA's certificate and key into dir, as ca-cert.pem and ca-key.pem, for
// LoadCA. Like WriteLayout it overwrites nothing.
func WriteCA(dir string, ca *CA) ([]string, error) {
	key, err := keyPEM(ca.Key)
	if err != nil {
		return nil, err
	}
	return writeFiles(dir, []file{
		{path: caKeyFile, mode: 0o600, data: key},
		{path: caCertFile, mode: 0o644, data: ca.CertPEM()},
	})
}

func (s Set) files(layout string) ([]file, error) {
	serverKey, err := s.Server.KeyPEM()
	if err != nil {
		return nil, err
	}
	clientKey, err := s.Client.KeyPEM()
	if err != nil {
		return nil, err
	}
	var names [6]string // CA, server cert, server key, client cert, client key, CRL
	switch layout {
	case LayoutLibvirt:
		names = [6]string{"CA/cacert.pem", "libvirt/servercert.pem", "libvirt/private/serverkey.pem",
			"libvirt/clientcert.pem", "libvirt/private/clientkey.pem", "CA/cacrl.pem"}
	case LayoutQEMU:
		names = [6]string{"ca-cert.pem", "server-cert.pem", "server-key.pem", "client-cert.pem", "client-key.pem", "ca-crl.pem"}
	default:
		return nil, fmt.Errorf("layout %q is not known: use %q or %q", layout, LayoutLibvirt, LayoutQEMU)
	}
	files := []file{
		{path: names[0], mode: 0o644, data: s.CA.CertPEM(), shared: true},
		{path: names[1], mode: 0o644, data: s.Server.CertPEM()},
		{path: names[2], mode: 0o600, data: serverKey},
		{path: names[3], mode: 0o644, data: s.Client.CertPEM()},
		{path: names[4], mode: 0o600, data: clientKey},
	}
	if s.CRL != nil {
		files = append(files, file{path: names[5], mode: 0o644, data: s.CRL, shared: true})
	}
	return files, nil
}

func writeFiles(dir string, files []file) (written []string, err error) {
	for _, f := range files {
		path := filepath.Join(dir, f.path)
		old, err := os.ReadFile(path)
		switch {
		case err == nil && f.shared && bytes.Equal(old, f.data):
		case err == nil:
			return nil, fmt.Errorf("%s is there already and is not overwritten: name another folder, or move the file away", path)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			for _, path := range written {
				os.Remove(path)
			}
			written = nil
		}
	}()
	for _, f := range files {
		path := filepath.Join(dir, f.path)
		folder := fs.FileMode(0o755)
		if f.mode == 0o600 && filepath.Dir(f.path) != "." {
			folder = 0o700
			if err := os.MkdirAll(filepath.Dir(filepath.Dir(path)), 0o755); err != nil {
				return written, err
			}
		}
		if err := os.MkdirAll(filepath.Dir(path), folder); err != nil {
			return written, err
		}
		fd, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if errors.Is(err, fs.ErrExist) && f.shared {
			continue
		}
		if err != nil {
			return written, err
		}
		written = append(written, path)
		_, err = fd.Write(f.data)
		if e := fd.Close(); err == nil {
			err = e
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
