package control

import (
	"testing"
	"time"
)

func TestDeadlineOf(t *testing.T) {
	for _, c := range []struct {
		text   string
		memory uint64
		want   time.Duration
	}{
		{"10m", 64 << 30, 10 * time.Minute},
		{"30s/GiB", 64 << 30, 32 * time.Minute},
		{"30s/GiB", 512 << 20, 15 * time.Second},
		{"1h/GiB", 1 << 62, longestDeadline},
	} {
		d, err := ParseDeadline(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Of(c.memory); got != c.want {
			t.Errorf("%s of %d bytes is %v, want %v", c.text, c.memory, got, c.want)
		}
	}
	if d := new(Deadline).Of(1 << 30); d != 0 {
		t.Errorf("no deadline is %v", d)
	}
}
