package tlsconf

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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

// readCerts reads every CERTIFICATE block of a file; other kinds of blocks are passed over, as
// OpenSSL and GnuTLS do.
func readCerts(path string) ([]*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			continue
		}
		if len(certs) == maxCerts {
			return nil, problem(path, "remove those that are not needed", "holds more than %d certificates", maxCerts)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, problem(path, "have the certificate issued again", "certificate %d in it cannot be parsed: %v", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	// A file that is being written ends in the middle of a block.
	if bytes.Contains(data, []byte("-----BEGIN CERTIFICATE")) {
		return nil, problem(path, "copy the file again, whole", "certificate %d in it is damaged or cut off", len(certs)+1)
	}
	if len(certs) == 0 {
		return nil, problem(path, "put the certificate there in PEM form (-----BEGIN CERTIFICATE-----)", "holds no certificate")
	}
	return certs, nil
}

// readKey reads the first private key of a file.
func readKey(path string) (crypto.Signer, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, problem(path, "put the key there in PEM form (-----BEGIN PRIVATE KEY-----)", "holds no private key, or one that is damaged or cut off")
		}
		var key any
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, encryptedKey(path)
			}
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, encryptedKey(path)
			}
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, encryptedKey(path)
		default:
			continue // "EC PARAMETERS", or a certificate in the same file
		}
		if err != nil {
			return nil, problem(path, "make a new key and have its certificate issued", "the private key cannot be parsed: %v", err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, problem(path, "use an ECDSA, RSA or Ed25519 key", "a key of type %T cannot sign", key)
		}
		return signer, nil
	}
}

func encryptedKey(path string) *Finding {
	return problem(path, "store it unencrypted, readable by its user alone (openssl pkey -in OLD -out NEW)", "the private key is encrypted, and nobody is there to type its password")
}
