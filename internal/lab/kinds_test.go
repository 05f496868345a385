package lab

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// TestKinds has guests that dirty memory each in their own way: QEMU's samples say that they do, and
// nothing is lost when they move.
func TestKinds(t *testing.T) {
	t.Parallel()
	l := bringUp(t, Options{})
	for name, k := range map[string]struct {
		spec GuestSpec
		as   func(t *testing.T, g *Guest, h *Host)
	}{
		"idle": {spec: GuestSpec{DirtyMiB: -1}, as: func(t *testing.T, g *Guest, h *Host) {
			if rate, _ := dirtyRate(t, g, h, 2); rate > 1 {
				t.Errorf("it dirties %d MiB/s", rate)
			}
		}},
		"uniform": {spec: GuestSpec{DirtyMiB: -1, SpreadKiB: 5 << 10}, as: func(t *testing.T, g *Guest, h *Host) {
			dirties(t, g, h, 2, func(passes int) float64 { return 5 * float64(passes) })
		}},
		"hot": {spec: GuestSpec{DirtyMiB: 64, SpreadKiB: 64}, as: func(t *testing.T, g *Guest, h *Host) {
			for _, seconds := range []int{1, 3} { // the same memory, however long it is looked at
				dirties(t, g, h, seconds, func(passes int) float64 { return 32 * float64(min(passes, 2)) })
			}
		}},
		"bursts":  {spec: GuestSpec{DirtyMiB: -1, SpreadKiB: 8 << 10, BurstPasses: 30, RestPasses: 30}, as: bursts},
		"growing": {spec: GuestSpec{MemoryMiB: 512, DirtyMiB: -1, EmptyMiB: 448, GrowKiB: 2 << 10}, as: grows},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k.spec.Name, k.spec.PassesPerSecond, k.spec.Beats = name, 10, 50
			g := startGuest(t, l.A, k.spec)
			k.as(t, g, l.A)
			migrate(t, g, l.A)
			if err := l.CheckOnlyOn(deadline(t, 3*time.Minute), g, l.B); err != nil {
				t.Error(err)
			}
		})
	}
}

// dirtyRate has QEMU look at the guest's memory for so long: it compares samples of 512 pages for
// each GiB. It returns the rate in MiB per second, and how many passes the guest has made meanwhile,
// more or less.
func dirtyRate(t *testing.T, g *Guest, h *Host, seconds int) (rate, passes int) {
	t.Helper()
	ctx := deadline(t, 3*time.Minute)
	if _, err := h.Virsh(ctx, "domdirtyrate-calc", g.Name, "--seconds", strconv.Itoa(seconds)); err != nil {
		t.Fatal(err)
	}
	before, err := g.Passes(h)
	time.Sleep(time.Duration(seconds) * time.Second) // as QEMU does
	after, errAfter := g.Passes(h)
	if err = errors.Join(err, errAfter); err != nil {
		t.Fatal(err)
	}
	const measured = "2" // VIR_DOMAIN_DIRTYRATE_MEASURED
	stat := regexp.MustCompile(`dirtyrate\.(calc_status|megabytes_per_second)=(\d+)`)
	err = poll(ctx, "the dirty rate", 20*time.Millisecond, func() (bool, error) {
		out, err := h.Virsh(ctx, "domstats", "--dirtyrate", g.Name)
		stats := make(map[string]string)
		for _, m := range stat.FindAllStringSubmatch(out, -1) {
			stats[m[1]] = m[2]
		}
		rate, _ = strconv.Atoi(stats["megabytes_per_second"])
		return stats["calc_status"] == measured, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d s: %d MiB/s, %d passes", seconds, rate, after-before)
	return rate, after - before
}

// dirties checks that in some seconds the guest dirties about as many MiB as so many passes should.
// There is one sample for 2 MiB, and on a busy machine passes are few, and QEMU's seconds may be
// others than those in which they were counted: so it looks more than once, and adds up.
func dirties(t *testing.T, g *Guest, h *Host, seconds int, should func(passes int) float64) {
	t.Helper()
	var got, want float64
	for range 10 {
		rate, passes := dirtyRate(t, g, h, seconds)
		got, want = got+float64(rate*seconds), want+should(passes)
		if want >= 32 && got >= want/4 && got <= want*4 {
			return
		}
	}
	t.Errorf("it dirtied %.0f MiB, want %.0f", got, want)
}

func bursts(t *testing.T, g *Guest, h *Host) {
	burst, rest := false, false
	for end := time.Now().Add(2 * time.Minute); !burst || !rest; {
		if time.Now().After(end) {
			t.Fatalf("it dirtied something: %t, and then nothing: %t", burst, rest)
		}
		rate, passes := dirtyRate(t, g, h, 1)
		burst = burst || rate >= max(4, 2*passes) // of 8 MiB each
		rest = rest || passes >= 2 && rate == 0
	}
}

func grows(t *testing.T, g *Guest, h *Host) {
	ctx := deadline(t, 3*time.Minute)
	dirties(t, g, h, 3, func(passes int) float64 { return 2 * float64(passes) })
	before, err := g.grown(ctx, h)
	if err == nil {
		err = g.WaitPasses(ctx, h, 2)
	}
	if err != nil {
		t.Fatal(err)
	}
	after, err := g.grown(ctx, h)
	if full := uint32(g.Spec.MemoryMiB) << 20; err != nil || after == before && before != full {
		t.Errorf("it was filled up to %#x, and two passes later to %#x, %v", before, after, err)
	}
	if err := g.CheckMemory(ctx, h); err != nil {
		t.Error(err)
	}
}

// TestSpoilt changes a word in each part of a guest's memory, and sees the guest find it.
func TestSpoilt(t *testing.T) {
	t.Parallel()
	l := bringUp(t, Options{})
	spec := GuestSpec{MemoryMiB: 32, DirtyMiB: 4, SpreadKiB: 256, EmptyMiB: 16, GrowKiB: 4, PassesPerSecond: 20, Beats: 100}
	for name, address := range map[string]int64{
		"count of the window": guestBase + guestPage,
		"count behind it":     guestBase + 5<<20,
		"tag behind it":       guestBase + 5<<20 + 4,
		"tag of what grew":    16<<20 + 4,
		"what is empty":       32<<20 - guestPage + 4,
	} {
		spec.Name = fmt.Sprintf("spoilt-%x", address)
		g := startGuest(t, l.A, spec)
		ctx := deadline(t, 3*time.Minute)
		if err := g.WaitPasses(ctx, l.A, 2); err != nil {
			t.Fatal(err)
		}
		if err := g.CheckMemory(ctx, l.A); err != nil {
			t.Error(err)
		}
		if err := g.write(l.A, address, []byte{0xA5, 0xA5, 0xA5, 0xA5}); err != nil {
			t.Fatal(err)
		}
		if err := g.WaitPasses(ctx, l.A, 1000); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWatch has a guest stand still.
func TestWatch(t *testing.T) {
	t.Parallel()
	l := bringUp(t, Options{})
	g := startGuest(t, l.A, GuestSpec{Name: "watched", MemoryMiB: 64, PassesPerSecond: 10, Beats: 100})
	ctx := deadline(t, 3*time.Minute)
	if err := g.WaitPasses(ctx, l.A, 2); err != nil {
		t.Fatal(err)
	}
	w := g.Watch()
	virsh(ctx, t, l.A, "suspend", g.Name)
	time.Sleep(2 * time.Second) // what is measured
	virsh(ctx, t, l.A, "resume", g.Name)
	err := g.WaitPasses(ctx, l.A, 2)
	// Whoever watches may be late on a busy machine.
	if longest := w.Stop(); err != nil || longest < time.Second {
		t.Errorf("it stood still for two seconds, and was silent for %v, %v", longest, err)
	}
}

func virsh(ctx context.Context, t *testing.T, h *Host, args ...string) {
	t.Helper()
	if _, err := h.Virsh(ctx, args...); err != nil {
		t.Fatal(err)
	}
}
