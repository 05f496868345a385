package gcm

import (
	"bytes"
	"testing"
)

func TestNew(t *testing.T) {
	for _, size := range []int{16, 24, 32} {
		a, err := New(make([]byte, size))
		if err != nil {
			t.Fatal(err)
		}
		nonce := make([]byte, a.NonceSize())
		b, err := newStandard(make([]byte, size))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Seal(nil, nonce, nil, nil), b.Seal(nil, nonce, nil, nil)) {
			t.Errorf("key of %d: sealed otherwise", size)
		}
	}
	if _, err := New(make([]byte, 17)); err == nil {
		t.Error("took a key of 17 bytes")
	}
}
