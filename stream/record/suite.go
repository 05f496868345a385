package record

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/virt-sluice/sluice/internal/gcm"
)

// suite is one of TLS 1.3's cipher suites (RFC 8446, B.4).
type suite struct {
	keyLen int
	hash   func() hash.Hash
	aead   func(key []byte) (cipher.AEAD, error)
}

var suites = map[uint16]*suite{
	tls.TLS_AES_128_GCM_SHA256:       {16, sha256.New, gcm.New},
	tls.TLS_AES_256_GCM_SHA384:       {32, sha512.New384, gcm.New},
	tls.TLS_CHACHA20_POLY1305_SHA256: {chacha20poly1305.KeySize, sha256.New, chacha20poly1305.New},
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446, 7.1).
func (s *suite) expandLabel(secret []byte, label string, n int) ([]byte, error) {
	const prefix = "tls13 "
	info := make([]byte, 0, 4+len(prefix)+len(label))
	info = append(info, byte(n>>8), byte(n), byte(len(prefix)+len(label)))
	info = append(info, prefix...)
	info = append(info, label...)
	info = append(info, 0) // the context's length
	return hkdf.Expand(s.hash, secret, string(info), n)
}
