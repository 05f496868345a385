package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/gcm"
)

// aesCost is the CPU time of sealing and opening so many bytes in full TLS
// records, in seconds, by the fastest code there is here: sluice's own.
func aesCost(bytes int64) (float64, error) {
	const record = 16384
	aead, err := gcm.New(make([]byte, 16))
	if err != nil {
		return 0, err
	}
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
	for done := int64(0); done < bytes; {
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
	return (ended - begun).Seconds(), err
}

func threadTime() (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano()), err
}
