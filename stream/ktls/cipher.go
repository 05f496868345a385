package ktls

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/virt-sluice/sluice/stream/record"
)

// Linux's numbers (include/uapi/linux/tls.h).
const (
	tlsTX            = 1
	tlsRX            = 2
	setRecordType    = 1
	getRecordType    = 2
	version13        = 0x0304
	cipherAES128GCM  = 51
	cipherAES256GCM  = 52
	cipherChaCha20   = 54
	saltLen, seqLen  = 4, 8
	cryptoInfoHeader = 4 // version and cipher, 16 bits each in the host's order
)

// cipher is one of the kernel's: struct tls12_crypto_info_*, whose fields are
// iv, key, salt, rec_seq in that order.
type cipher struct {
	number               uint16
	iv, key, salt, total int // bytes
}

var ciphers = map[uint16]cipher{
	tls.TLS_AES_128_GCM_SHA256:       {cipherAES128GCM, 8, 16, saltLen, 40},
	tls.TLS_AES_256_GCM_SHA384:       {cipherAES256GCM, 8, 32, saltLen, 56},
	tls.TLS_CHACHA20_POLY1305_SHA256: {cipherChaCha20, 12, chacha20poly1305.KeySize, 0, 56},
}

// cryptoInfo is k as setsockopt takes it.
func cryptoInfo(k record.Key) ([]byte, error) {
	c, ok := ciphers[k.Suite]
	if !ok || len(k.Key) != c.key || len(k.IV) != c.iv+c.salt {
		return nil, fmt.Errorf("kernel TLS: no cipher for %s with a key of %d bytes", tls.CipherSuiteName(k.Suite), len(k.Key))
	}
	b := make([]byte, cryptoInfoHeader, c.total)
	binary.NativeEndian.PutUint16(b, version13)
	binary.NativeEndian.PutUint16(b[2:], c.number)
	// The nonce's first bytes are the salt.
	b = append(b, k.IV[c.salt:]...)
	b = append(b, k.Key...)
	b = append(b, k.IV[:c.salt]...)
	return binary.BigEndian.AppendUint64(b, k.Seq), nil
}
