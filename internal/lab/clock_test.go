package lab

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A process sees its own clock, also one that was set while it ran, and others do not.
func TestClock(t *testing.T) {
	l := bringUp(t, Options{})
	clock, err := NewClock(filepath.Join(t.TempDir(), "clock"))
	if err != nil {
		t.Fatal(err)
	}
	seen := func(under bool) time.Duration {
		c := l.A.Command(deadline(t, time.Minute), "date", "+%s")
		if under {
			clock.Under(c)
		}
		before := time.Now()
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("date: %v: %s", err, out)
		}
		seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Unix(seconds, 0).Sub(before)
	}
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		if err := clock.Ahead(ahead); err != nil {
			t.Fatal(err)
		}
		if off := seen(true) - ahead; off < -2*time.Second || off > 30*time.Second {
			t.Errorf("%v ahead it is %v ahead", ahead, off+ahead)
		}
		if off := seen(false); off < -2*time.Second || off > 30*time.Second {
			t.Errorf("another's clock is %v ahead", off)
		}
	}
}
