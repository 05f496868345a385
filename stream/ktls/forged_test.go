//go:build kerneltls

package ktls

import (
	"bytes"
	"crypto/aes"
	gocipher "crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/stream/record"
)

// Records that no sender has made: what of them is told whom.
func TestForged(t *testing.T) {
	for name, c := range map[string]struct {
		record string
		alert  string
	}{
		"bad tag":  {"\x17\x03\x03\x00\x40" + strings.Repeat("x", 64), "bad record MAC"},
		"too long": {"\x17\x03\x03\x60\x00" + strings.Repeat("x", 64), "record overflow"},
		"version":  {"\x17\x03\x01\x00\x40" + strings.Repeat("x", 64), "unexpected message"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, p *kernelEnd) {
				p.engine.Write([]byte("data"))
				expect(t, p.kernel, []byte("data"))
				tcp(p.engine).Write([]byte(c.record))
				// As the relay does: splice first.
				if n, err := p.receiver.Splice(p.pipe[1], 1000, true); n != 0 || err != nil {
					t.Errorf("%d bytes of it were delivered, %v", n, err)
				}
				if _, err := p.kernel.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), c.alert) {
					t.Errorf("%v, want %s", err, c.alert)
				}
				_, err := p.engine.Read(make([]byte, 1))
				if err == nil || !strings.Contains(err.Error(), "remote error: tls: "+c.alert) {
					t.Errorf("its sender is told %v, want %s", err, c.alert)
				}
			})
		})
	}
}

// forger is a Sealer that says what the key is.
type forger struct {
	record.Key
	to io.Writer
}

func (f *forger) SetKey(k record.Key) error {
	f.Key = k
	f.Key.Key, f.IV = bytes.Clone(k.Key), bytes.Clone(k.IV)
	return nil
}
func (f *forger) Rekeys() bool               { return true }
func (f *forger) Next() (uint64, error)      { return f.Seq, nil }
func (f *forger) Control(byte, []byte) error { return nil }

// seal sends any inner plaintext.
func (f *forger) seal(t *testing.T, inner []byte) {
	t.Helper()
	var aead gocipher.AEAD
	var err error
	if f.Suite == tls.TLS_CHACHA20_POLY1305_SHA256 {
		aead, err = chacha20poly1305.New(f.Key.Key)
	} else {
		var b gocipher.Block
		if b, err = aes.NewCipher(f.Key.Key); err == nil {
			aead, err = gocipher.NewGCM(b)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	nonce := bytes.Clone(f.IV)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^f.Seq)
	f.Seq++
	head := []byte{23, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(head[3:], uint16(len(inner)+16))
	f.to.Write(aead.Seal(head, nonce, inner, head))
}

// Records as other implementations send them: padded, and empty, which splice
// can't tell from the connection's end.
func TestPaddedAndEmpty(t *testing.T) {
	each(t, func(t *testing.T, p *kernelEnd) {
		f := &forger{to: p.engine.NetConn()}
		if err := p.engine.HandOverSending(f); err != nil {
			t.Fatal(err)
		}
		f.seal(t, append([]byte("padded\x17"), make([]byte, 3000)...))
		f.seal(t, []byte("\x17"))
		f.seal(t, []byte("plain\x17"))
		f.seal(t, append([]byte("\x17"), make([]byte, 100)...))
		f.seal(t, []byte{1, 0, typeAlert}) // close_notify
		h := new(bytes.Buffer)
		for {
			n, err := p.receiver.Splice(p.pipe[1], 60_000, true)
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				b := make([]byte, n)
				if _, err := unix.Read(p.pipe[0], b); err != nil {
					t.Fatal(os.NewSyscallError("read", err))
				}
				h.Write(b)
				continue
			}
			plain, err := p.kernel.Receive()
			for _, b := range plain {
				h.Write(b)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if h.String() != "paddedplain" {
			t.Errorf("%q", h.String())
		}
	})
}
