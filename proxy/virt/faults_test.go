package virt

import "testing"

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		v    Versions
		want int
	}{
		{Versions{}, 0},
		{Versions{"9.0.0", "7.2.17"}, 0},
		{Versions{"11.1.9", "10.0.9"}, 0},
		{Versions{"11.2.0", "10.0.2"}, 1},
		{Versions{"11.3.0", ""}, 1},
		{Versions{"11.3.999", "10.1.0"}, 2},
		{Versions{"11.4.0", "10.0.0"}, 0},
		{Versions{"12.8.0", "11.1.0"}, 1},
		{Versions{"nonsense", "x"}, 0},
	} {
		if got := c.v.Faults(); len(got) != c.want {
			t.Errorf("%+v: %+v, want %d", c.v, got, c.want)
		}
	}
}
