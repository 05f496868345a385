package pki

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// The two layouts that are asked for most. dir, once written, can be copied onto the layout's usual
// folder.
const (
	LayoutLibvirt = layout.Libvirt
	LayoutQEMU    = layout.QEMU
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
//
// A layout with one place for both roles gets the server's pair.
func WriteLayout(dir, name string, s Set) ([]string, error) {
	files, err := s.files(name)
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

func (s Set) files(name string) ([]file, error) {
	l, ok := layout.Named(name)
	if !ok {
		return nil, fmt.Errorf("layout %q is not known: use one of %s", name, strings.Join(layout.Names(), ", "))
	}
	files := []file{{path: l.CA, mode: 0o644, data: s.CA.CertPEM(), shared: true}}
	for _, role := range []struct {
		at   layout.Pair
		pair *Pair
	}{{l.Server, s.Server}, {l.Client, s.Client}} {
		if role.at == (layout.Pair{}) {
			continue
		}
		key, err := role.pair.KeyPEM()
		if err != nil {
			return nil, err
		}
		files = append(files, file{path: role.at.Cert, mode: 0o644, data: role.pair.CertPEM()}, file{path: role.at.Key, mode: 0o600, data: key})
	}
	if s.CRL != nil {
		if l.CRL == "" {
			return nil, fmt.Errorf("layout %q has no place for a revocation list", name)
		}
		files = append(files, file{path: l.CRL, mode: 0o644, data: s.CRL, shared: true})
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
