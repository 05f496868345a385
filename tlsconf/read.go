package tlsconf

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// maxFile is the size of the largest PEM file that is read, in bytes. A bundle of all the
// public web's CAs has a quarter of it; libvirt reads 64 KiB.
const maxFile = 1 << 20

// maxCerts is how many certificates one file may hold.
const maxCerts = 256

func readFile(path string) ([]byte, error) { return readFileLimit(path, maxFile) }

func readFileLimit(path string, limit int64) ([]byte, error) {
	fd, err := open(path)
	if err != nil {
		return nil, openProblem(path, err)
	}
	defer fd.Close()
	if st, err := fd.Stat(); err == nil && !st.Mode().IsRegular() {
		return nil, problem(path, "name a PEM file", "is not a file but a %s", st.Mode().Type())
	}
	data, err := io.ReadAll(io.LimitReader(fd, limit+1))
	if err != nil {
		return nil, openProblem(path, err)
	}
	if int64(len(data)) > limit {
		return nil, problem(path, "remove from it what is not this host's", "is larger than the %d bytes allowed", limit)
	}
	return data, nil
}

// open does not wait for the writer of a fifo, where a file should be.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func openProblem(path string, err error) *Finding {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	remedy := "see that the file is there and that this user may read it"
	if errors.Is(err, fs.ErrPermission) {
		remedy = fmt.Sprintf("let the user this runs as (uid %d) read it", os.Geteuid())
	}
	return problem(path, remedy, "cannot be read: %v", err)
}

// certKinds and keyKinds are the kinds of blocks that hold one.
var (
	certKinds = []string{"CERTIFICATE", "X509 CERTIFICATE"}
	keyKinds  = []string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"}
)

// readCerts reads every certificate of a file.
func readCerts(path string) ([]*x509.Certificate, error) {
	certs, err := readCertsBut(path, nil)
	return certs, err
}

// readCertsBut is readCerts, and gives those that Go cannot take and that others can to lost, if
// there is one.
func readCertsBut(path string, lost func(f *Finding, subject []byte)) ([]*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	blocks, err := readPEM(path, data, certKinds...)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	n := 0
	for _, b := range blocks {
		if !slices.Contains(certKinds, b.kind) {
			continue
		}
		if n++; n > maxCerts {
			return nil, problem(path, "remove those that are not needed", "holds more than %d certificates", maxCerts)
		}
		if b.encrypted {
			return nil, problem(path, "copy the file again, whole", "certificate %d in it (block %d) has lines with a colon, which are none of it", n, b.n)
		}
		c, err := x509.ParseCertificate(b.der)
		if err == nil {
			certs = append(certs, c)
			continue
		}
		if why, subject := badString(b.der); why != "" {
			f := problem(path, "have it issued again, with that value as a UTF8String", "certificate %d in it (block %d) cannot be used: %s", n, b.n, why)
			if lost == nil {
				return nil, f
			}
			lost(f, subject)
			continue
		}
		return nil, problem(path, "have the certificate issued again", "certificate %d in it (block %d) cannot be parsed: %v", n, b.n, err)
	}
	if n == 0 {
		return nil, notPEM(path, data, "certificate", certKinds...)
	}
	return certs, nil
}

// readKey reads the first private key of a file.
func readKey(path string) (crypto.Signer, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	blocks, err := readPEM(path, data, keyKinds...)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(blocks, func(b block) bool { return slices.Contains(keyKinds, b.kind) })
	if i < 0 {
		return nil, notPEM(path, data, "private key", keyKinds...)
	}
	b := blocks[i]
	if b.encrypted || b.kind == "ENCRYPTED PRIVATE KEY" {
		return nil, encryptedKey(path)
	}
	var key any
	switch b.kind {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.der)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.der)
	}
	if err != nil {
		if kind := keyKind(b.der); kind != "" {
			return nil, problem(path, "use an ECDSA, RSA or Ed25519 key", "is %s, which Go does not have", kind)
		}
		return nil, problem(path, "make a new key and have its certificate issued", "the private key cannot be parsed: %v", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, problem(path, "use an ECDSA, RSA or Ed25519 key", "a key of type %T cannot sign", key)
	}
	return signer, nil
}

func encryptedKey(path string) *Finding {
	return problem(path, "store it unencrypted, readable by its user alone (openssl pkey -in OLD -out NEW)", "the private key is encrypted, and nobody is there to type its password")
}
