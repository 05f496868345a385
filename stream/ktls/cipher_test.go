package ktls

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/virt-sluice/sluice/stream/record"
)

// The layouts of include/uapi/linux/tls.h, byte by byte.
func TestCryptoInfo(t *testing.T) {
	iv := []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c")
	key := bytes.Repeat([]byte{0xee}, 32)
	k16, k32 := hex.EncodeToString(key[:16]), hex.EncodeToString(key)
	// Version and cipher are in the host's order.
	head := func(little, big string) string {
		if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
			return little
		}
		return big
	}
	for suite, want := range map[uint16]string{
		tls.TLS_AES_128_GCM_SHA256:       head("04033300", "03040033") + "05060708090a0b0c" + k16 + "01020304" + "0000000000000102",
		tls.TLS_AES_256_GCM_SHA384:       head("04033400", "03040034") + "05060708090a0b0c" + k32 + "01020304" + "0000000000000102",
		tls.TLS_CHACHA20_POLY1305_SHA256: head("04033600", "03040036") + "0102030405060708090a0b0c" + k32 + "0000000000000102",
	} {
		k := record.Key{Suite: suite, Key: key[:ciphers[suite].key], IV: iv, Seq: 0x102}
		got, err := cryptoInfo(k)
		if err != nil || hex.EncodeToString(got) != want || len(got) != ciphers[suite].total {
			t.Errorf("%s: %x, %v, want %s", tls.CipherSuiteName(suite), got, err, want)
		}
	}
	if _, err := cryptoInfo(record.Key{Suite: tls.TLS_AES_128_GCM_SHA256, Key: key, IV: iv}); err == nil {
		t.Error("a key of another suite's length was taken")
	}
}

// A kernel can do a suite or says why not, and no suite but those of TLS 1.3.
func TestOutcomeIsKept(t *testing.T) {
	for _, suite := range Suites {
		a, b := Test(suite), Test(suite)
		if a != b || a.Suite != suite {
			t.Errorf("%+v, then %+v", a, b)
		}
	}
	if s := Test(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); s.Send != ErrNone || s.Receive != ErrNone {
		t.Errorf("%+v for a suite of TLS 1.2", s)
	}
}
