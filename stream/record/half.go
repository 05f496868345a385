package record

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

const (
	headerLen = 5
	plainMax  = 16384 // RFC 8446, 5.1
	tagLen    = 16    // of every suite here
	// overhead is what a record adds to its bytes: header, content type, tag.
	overhead = headerLen + 1 + tagLen
	// cipherMax is the largest encrypted record's length field (5.2).
	cipherMax = plainMax + 256
	nonceLen  = 12
)

// Content types (RFC 8446, B.1).
const (
	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeData             = 23
)

// keyRecords is how many records a key protects before it is replaced: below the 2^24.5 full
// records that AES-GCM allows (RFC 8446, 5.5) and, for simplicity, the same for ChaCha20-Poly1305.
const keyRecords = 1 << 24

// half is the protection of one direction: a key, and the sequence number from
// which every nonce under that key is made.
//
// Invariant: a sequence number is handed out by take or consumed by open once
// for each key, in order. Sealing with anything else is a bug that would give
// the key away, so take panics rather than wrap around.
type half struct {
	suite  *suite
	secret []byte
	aead   cipher.AEAD
	iv     [nonceLen]byte
	seq    uint64
	nonce  [nonceLen]byte // scratch, for it would escape otherwise
}

func newHalf(s *suite, secret []byte) (*half, error) {
	h := &half{suite: s}
	if err := h.setSecret(secret); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *half) setSecret(secret []byte) error {
	key, err := h.suite.expandLabel(secret, "key", h.suite.keyLen)
	if err != nil {
		return err
	}
	defer clear(key)
	iv, err := h.suite.expandLabel(secret, "iv", nonceLen)
	if err != nil {
		return err
	}
	aead, err := h.suite.aead(key)
	if err != nil {
		return err
	}
	if aead.NonceSize() != nonceLen || aead.Overhead() != tagLen {
		return fmt.Errorf("record: cipher with nonces of %d and tags of %d bytes", aead.NonceSize(), aead.Overhead())
	}
	h.aead, h.secret, h.seq = aead, secret, 0
	copy(h.iv[:], iv)
	return nil
}

// update replaces the key by the next generation's (RFC 8446, 7.2).
func (h *half) update() error {
	next, err := h.suite.expandLabel(h.secret, "traffic upd", len(h.secret))
	if err != nil {
		return err
	}
	old := h.secret
	if err := h.setSecret(next); err != nil {
		return err
	}
	clear(old)
	return nil
}

// take hands out n sequence numbers and returns the first.
func (h *half) take(n int) uint64 {
	first := h.seq
	h.seq += uint64(n)
	if h.seq < first {
		panic("record: internal error: sequence number wrapped")
	}
	return first
}

// makeNonce is RFC 8446, 5.3.
func (h *half) makeNonce(nonce *[nonceLen]byte, seq uint64) {
	*nonce = h.iv
	tail := nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^seq)
}

// seal makes the first bytes of b a record of content type typ, whose n bytes of content are in
// place after the header, and returns its length. b has room for n+overhead.
func (h *half) seal(nonce *[nonceLen]byte, seq uint64, b []byte, n int, typ byte) int {
	h.makeNonce(nonce, seq)
	b[0], b[1], b[2] = typeData, 3, 3
	binary.BigEndian.PutUint16(b[3:], uint16(n+1+tagLen))
	b[headerLen+n] = typ
	h.aead.Seal(b[headerLen:headerLen], nonce[:], b[headerLen:headerLen+n+1], b[:headerLen])
	return n + overhead
}

// decrypt opens rec, a whole record, in place and returns its inner plaintext: content, type and
// padding. It returns nil, and leaves nothing, when the record is not the sender's.
func (h *half) decrypt(nonce *[nonceLen]byte, seq uint64, rec []byte) []byte {
	h.makeNonce(nonce, seq)
	body := rec[headerLen:]
	inner, err := h.aead.Open(body[:0], nonce[:], body, rec[:headerLen])
	if err != nil {
		return nil
	}
	return inner
}

// content divides an inner plaintext. The type is its last byte that is not
// padding (RFC 8446, 5.4).
func content(inner []byte) (content []byte, typ byte, err error) {
	if len(inner) > plainMax+1 {
		return nil, 0, localAlert(alertRecordOverflow)
	}
	for i := len(inner) - 1; i >= 0; i-- {
		if inner[i] != 0 {
			return inner[:i], inner[i], nil
		}
	}
	return nil, 0, localAlert(alertUnexpectedMessage)
}
