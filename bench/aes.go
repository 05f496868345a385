package bench

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/gcm"
)

// AES is the CPU time of sealing and opening full TLS records with AES-128-GCM,
// in seconds for a GB, by each code that is here.
type AES struct {
	Sluice  float64 `json:"sluice"`
	Go      float64 `json:"go"`
	OpenSSL float64 `json:"openssl,omitempty"` // 0: not installed
}

// best is that of the fastest: what is possible on this processor.
func (a AES) best() float64 {
	least := min(a.Sluice, a.Go)
	if a.OpenSSL > 0 {
		least = min(least, a.OpenSSL)
	}
	return least
}

// aes measures them.
func (r *run) aes(ctx context.Context) (a AES, err error) {
	secret := make([]byte, 16)
	own, err := gcm.New(secret)
	if err != nil {
		return a, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return a, err
	}
	standard, err := cipher.NewGCM(block)
	if err != nil {
		return a, err
	}
	if a.Sluice, err = aesCost(own); err != nil {
		return a, err
	}
	if a.Go, err = aesCost(standard); err != nil {
		return a, err
	}
	if r.openssl != "" {
		a.OpenSSL, err = opensslCost(ctx, r.openssl)
	}
	return a, err
}

// record is the most that one has, in bytes.
const record = 16384

// aesCost is the CPU time for a GB, in seconds.
func aesCost(aead cipher.AEAD) (float64, error) {
	const bytes = 512 << 20
	// As many records as fit a cache, as where they have just been read.
	slots := make([][]byte, 16)
	for i := range slots {
		slots[i] = make([]byte, record+aead.Overhead())
		copy(slots[i], pages()[i*record:][:record])
	}
	nonce, head := make([]byte, aead.NonceSize()), make([]byte, 5)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun, err := threadTime()
	if err != nil {
		return 0, err
	}
	for done := 0; done < bytes; {
		for _, s := range slots {
			aead.Seal(s[:0], nonce, s[:record], head)
		}
		for _, s := range slots {
			if _, err := aead.Open(s[:0], nonce, s, head); err != nil {
				return 0, err
			}
			done += record
		}
	}
	ended, err := threadTime()
	return (ended - begun).Seconds() / (bytes / 1e9), err
}

func threadTime() (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano()), err
}
