package gcm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// tested are the versions that New makes, and the one that takes what they leave:
// the same loop, which nearly every processor runs.
var tested = append([]version{narrow}, versions...)

// runs reports whether v can be tested on this processor. test/guests runs the tests of the others.
func runs(v version) bool { return v.lack() == "" }

// A processor that tests nothing must not look as if all were well.
func TestSomethingRuns(t *testing.T) {
	if !runs(narrow) {
		t.Errorf("no AES-GCM of this package is tested: %s", narrow.lack())
	}
}

// versionsHere calls f for each version that can run here.
func versionsHere(t *testing.T, f func(t *testing.T, v version)) {
	for _, v := range tested {
		if runs(v) {
			t.Run(v.String(), func(t *testing.T) { f(t, v) })
		}
	}
}

func standard(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	a, err := newStandard(key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func random(r *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	r.Read(b)
	return b
}

// same compares both ciphers on one message, in place and not.
func same(t *testing.T, v version, key, nonce, plain, data []byte) {
	t.Helper()
	mine, theirs := v.newAEAD(key), standard(t, key)
	want := theirs.Seal(nil, nonce, plain, data)
	prefix := []byte("before")
	if got := mine.Seal(prefix, nonce, plain, data); !bytes.Equal(got, append(prefix, want...)) {
		t.Fatalf("key of %d, message of %d, data of %d: sealed otherwise", len(key), len(plain), len(data))
	}
	if got, err := mine.Open(prefix, nonce, want, data); err != nil || !bytes.Equal(got, append(prefix, plain...)) {
		t.Fatalf("key of %d, message of %d, data of %d: opened otherwise: %v", len(key), len(plain), len(data), err)
	}
	place := append(make([]byte, 0, len(want)), plain...)
	sealed := mine.Seal(place[:0], nonce, place, data)
	if !bytes.Equal(sealed, want) || &sealed[0] != &place[:1][0] {
		t.Fatalf("key of %d, message of %d: sealed otherwise in place", len(key), len(plain))
	}
	if got, err := mine.Open(sealed[:0], nonce, sealed, data); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("key of %d, message of %d: opened otherwise in place: %v", len(key), len(plain), err)
	}
}

func TestSameAsStandard(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	lengths := []int{4095, 4096, 4097, 16383, 16384, 16385, 16386, 16640, 100_000}
	for n := range 1600 {
		lengths = append(lengths, n)
	}
	versionsHere(t, func(t *testing.T, v version) {
		for _, size := range []int{16, 32} {
			for _, n := range lengths {
				same(t, v, random(r, size), random(r, nonceSize), random(r, n), random(r, n%601))
			}
		}
	})
}

func FuzzSameAsStandard(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), []byte("abcdefghijkl"), []byte("message"), []byte("data"))
	f.Add(make([]byte, 32), make([]byte, 12), make([]byte, 1025), []byte{})
	f.Fuzz(func(t *testing.T, key, nonce, plain, data []byte) {
		if (len(key) == 16 || len(key) == 32) && len(nonce) == nonceSize {
			for _, v := range tested {
				if runs(v) {
					same(t, v, key, nonce, plain, data)
				}
			}
		}
	})
}

// Test cases 2, 4, 14 and 16 of The Galois/Counter Mode of Operation (McGrew, Viega), Appendix B.
func TestSpecification(t *testing.T) {
	const (
		key   = "feffe9928665731c6d6a8f9467308308"
		iv    = "cafebabefacedbaddecaf888"
		plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
		data  = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
		zeros = "00000000000000000000000000000000"
	)
	for i, c := range []struct{ key, iv, plain, data, sealed string }{
		{zeros, zeros[:24], zeros, "", "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
		{key, iv, plain, data, "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091" +
			"5bc94fbc3221a5db94fae95ae7121a47"},
		{zeros + zeros, zeros[:24], zeros, "", "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
		{key + key, iv, plain, data, "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
			"76fc6ece0f4e1768cddf8853bb2d551b"},
	} {
		un := func(s string) []byte {
			b, err := hex.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		versionsHere(t, func(t *testing.T, v version) {
			if got := v.newAEAD(un(c.key)).Seal(nil, un(c.iv), un(c.plain), un(c.data)); hex.EncodeToString(got) != c.sealed {
				t.Errorf("vector %d: %x, not %s", i, got, c.sealed)
			}
		})
	}
}

// The output may lie over the nonce, which is read before.
func TestOverNonce(t *testing.T) {
	versionsHere(t, func(t *testing.T, v version) {
		r := rand.NewChaCha8([32]byte{3})
		key, nonce, plain := random(r, 16), random(r, nonceSize), random(r, v.group()+100)
		want := standard(t, key).Seal(nil, nonce, plain, nil)
		out := make([]byte, len(want))
		if got := v.newAEAD(key).Seal(out[:0], out[:copy(out, nonce)], plain, nil); !bytes.Equal(got, want) {
			t.Error("sealed otherwise")
		}
		if got, err := v.newAEAD(key).Open(out[:0], out[:copy(out, nonce)], want, nil); err != nil || !bytes.Equal(got, plain) {
			t.Error("opened otherwise", err)
		}
	})
}

// The lowest 32 bits of a counter count, and carry nothing over (NIST SP
// 800-38D, 6.2). A nonce of 12 bytes never takes them there.
func TestCounterWraps(t *testing.T) {
	versionsHere(t, func(t *testing.T, v version) {
		key := random(rand.NewChaCha8([32]byte{4}), 16)
		k := newKey(key)
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		for first := range uint32(2*v.group()/blockSize + 1) {
			first = -first
			nonce := [nonceSize]byte(bytes.Repeat([]byte{0xff}, nonceSize))
			counter := counterBlock(nonce, first)
			var hash [blockSize]byte
			got, want := make([]byte, 2*v.group()), make([]byte, 2*v.group())
			v.crypt(k, &hash, &counter, &got[0], &got[0], 2, false)
			for i := 0; i < len(want); i += blockSize {
				counter := counterBlock(nonce, first+uint32(i/blockSize))
				block.Encrypt(want[i:], counter[:])
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("another key stream from %#x on", first)
			}
		}
	})
}

// A message of every part that is handled by itself; each of its bits, and of
// what it depends on, turned.
func TestTampered(t *testing.T) {
	versionsHere(t, func(t *testing.T, v version) {
		r := rand.NewChaCha8([32]byte{2})
		a := v.newAEAD(random(r, 16))
		nonce, data := random(r, nonceSize), random(r, 21)
		plain := random(r, v.group()+2*blockSize+3)
		sealed := a.Seal(nil, nonce, plain, data)
		for _, part := range [][]byte{sealed, nonce, data} {
			for bit := range len(part) * 8 {
				part[bit/8] ^= 1 << (bit % 8)
				out := append(make([]byte, 0, len(sealed)), 1)
				if got, err := a.Open(out[1:], nonce, sealed, data); err == nil || got != nil {
					t.Fatalf("opened with bit %d turned", bit)
				}
				if left := out[1:cap(out)]; !bytes.Equal(left, make([]byte, len(left))) {
					t.Fatalf("bit %d turned, and something of the message is left", bit)
				}
				part[bit/8] ^= 1 << (bit % 8)
			}
		}
		for n := range sealed {
			if _, err := a.Open(nil, nonce, sealed[:n], data); err == nil {
				t.Fatalf("opened the first %d bytes of %d", n, len(sealed))
			}
		}
		if got, err := a.Open(nil, nonce, sealed, data); err != nil || !bytes.Equal(got, plain) {
			t.Fatal("not opened any more", err)
		}
	})
}

func TestMisuse(t *testing.T) {
	versionsHere(t, func(t *testing.T, v version) {
		a := v.newAEAD(make([]byte, 16))
		b := make([]byte, 100)
		nonce := make([]byte, nonceSize)
		for what, f := range map[string]func(){
			"nonce of 11":       func() { a.Seal(nil, b[:11], nil, nil) },
			"nonce of 16":       func() { a.Open(nil, b[:16], b, nil) },
			"sealed over plain": func() { a.Seal(b[1:1], nonce, b[:50], nil) },
			"sealed over data":  func() { a.Seal(b[:0], nonce, nil, b[3:8]) },
			"sealed from data":  func() { a.Seal(b[:0], nonce, nil, b[:8]) },
			"opened over":       func() { a.Open(b[:0], nonce, b[1:60], nil) },
			"opened over data":  func() { a.Open(b[:0], nonce, b[50:], b[33:35]) },
			"opened from data":  func() { a.Open(b[:0], nonce, b[:50], b[:8]) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", what)
					}
				}()
				f()
			}()
		}
	})
}

func TestMany(t *testing.T) {
	versionsHere(t, func(t *testing.T, v version) {
		a := v.newAEAD(make([]byte, 32))
		plain := make([]byte, 20_000)
		want := a.Seal(nil, make([]byte, nonceSize), plain, nil)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					if !bytes.Equal(a.Seal(nil, make([]byte, nonceSize), plain, nil), want) {
						t.Error("sealed otherwise beside others")
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func BenchmarkSeal(b *testing.B) { benchmark(b, true) }
func BenchmarkOpen(b *testing.B) { benchmark(b, false) }

func benchmark(b *testing.B, seal bool) {
	for _, size := range []int{16, 32} {
		for _, n := range []int{1, 1024, 4097, 16385} {
			key, nonce := make([]byte, size), make([]byte, nonceSize)
			run := func(name string, a cipher.AEAD) {
				b.Run(fmt.Sprintf("aes%d/%d/%s", size*8, n, name), func(b *testing.B) {
					sealed := a.Seal(nil, nonce, make([]byte, n), nonce[:5])
					out := make([]byte, n+tagSize)
					b.SetBytes(int64(n))
					for b.Loop() {
						if seal {
							a.Seal(out[:0], nonce, out[:n], nonce[:5])
						} else if _, err := a.Open(out[:0], nonce, sealed, nonce[:5]); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			for _, v := range tested {
				if runs(v) {
					run(v.String(), v.newAEAD(key))
				}
			}
			run(standardName, standard(b, key))
		}
	}
}
