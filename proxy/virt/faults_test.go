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

func TestParallelLosesGuest(t *testing.T) {
	for qemu, want := range map[string]bool{"": false, "5.2.0": true, "7.2.22": true, "10.0.13": true, "10.1.0": false, "11.1.2": false} {
		if got := (Versions{QEMU: qemu}).Has(ParallelLosesGuest); got != want {
			t.Errorf("QEMU %q: %t", qemu, got)
		}
	}
}

func TestUpTo72(t *testing.T) {
	for machine, want := range map[string]bool{
		"pc-i440fx-7.2": true, "pc-q35-2.11": true, "virt-6.0": true, "pc-i440fx-7.1": true,
		"pc-q35-8.0": false, "pc-i440fx-10.0": false, "pc": false, "": false,
		"pc-q35-rhel9.2.0": false, "pc-i440fx-jammy": false, // a distribution's own
	} {
		if got := upTo72(machine); got != want {
			t.Errorf("%q: %t", machine, got)
		}
	}
}
