package test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"time"
)

// A forger is a TLS client that has done its handshake by the book and then makes any records it
// likes (RFC 8446, 5.2 and 7).
type forger struct {
	net.Conn
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// forge connects and takes over from crypto/tls after the handshake.
func (o *outsider) forge(ctx context.Context) (*forger, error) {
	raw, err := o.dial(ctx)
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	cfg := o.tls.Clone()
	cfg.KeyLogWriter = &log
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	c := tls.Client(raw, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	if s := c.ConnectionState(); s.Version != tls.VersionTLS13 || s.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		raw.Close()
		return nil, fmt.Errorf("the suite is %s", tls.CipherSuiteName(s.CipherSuite))
	}
	f := &forger{Conn: raw}
	for line := range bytes.Lines(log.Bytes()) {
		if words := bytes.Fields(line); string(words[0]) == "CLIENT_TRAFFIC_SECRET_0" {
			f.use(must(hex.DecodeString(string(words[2]))))
		}
	}
	return f, nil
}

// use takes a secret for all that follows.
func (f *forger) use(secret []byte) {
	f.secret, f.seq = secret, 0
	f.aead = must(cipher.NewGCM(must(aes.NewCipher(expand(secret, "key", 16)))))
	f.iv = expand(secret, "iv", 12)
}

// record appends a record to b, which counts.
func (f *forger) record(b []byte, kind byte, content []byte) []byte {
	inner := append(bytes.Clone(content), kind)
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+16))
	nonce := bytes.Clone(f.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^f.seq)
	f.seq++
	return f.aead.Seal(append(b, head...), nonce, inner, head)
}

// keyUpdate appends one, and takes the next key.
func (f *forger) keyUpdate(b []byte, request byte) []byte {
	b = f.record(b, 22, []byte{24, 0, 0, 1, request})
	f.use(expand(f.secret, "traffic upd", 32))
	return b
}

func expand(secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(info, byte(len("tls13 "+label))), "tls13 "+label...)
	return must(hkdf.Expand(sha256.New, secret, string(append(info, 0)), n))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // of what this file gives, nothing can fail
	}
	return v
}
