package lab

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestGuest(t *testing.T) {
	l := bringUp(t, Options{})
	t.Run("Direct", func(t *testing.T) { testDirect(t, l) })
	t.Run("PostCopy", func(t *testing.T) { testPostCopy(t, l) })
	t.Run("Storage", func(t *testing.T) { testStorage(t, l) })
	t.Run("Corrupt", func(t *testing.T) { testCorrupt(t, l) })
	t.Run("Libvirtd", func(t *testing.T) { testLibvirtd(t, l) })
	t.Run("Reset", func(t *testing.T) { testReset(t, l) })
	t.Run("Spec", func(t *testing.T) { testSpec(t, l) })
}

// startGuest starts a guest that ends with the test, wherever it is then.
func startGuest(t *testing.T, h *Host, spec GuestSpec) *Guest {
	t.Helper()
	start := time.Now()
	g, err := h.StartGuest(deadline(t, 3*time.Minute), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s with %d MiB started and filled in %v", g.Name, g.Spec.MemoryMiB, time.Since(start).Round(time.Millisecond))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // t.Context has ended by now
		defer cancel()
		if err := g.Destroy(ctx); err != nil {
			t.Error(err)
		}
	})
	return g
}

func migrate(t *testing.T, g *Guest, from *Host, args ...string) {
	t.Helper()
	start := time.Now()
	args = append([]string{"migrate", "--live", "--p2p"}, args...)
	if _, err := from.Virsh(deadline(t, time.Minute), append(args, g.Name, "qemu+tcp://"+from.Peer().Name+"/system")...); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s migrated in %v", g.Name, time.Since(start).Round(time.Millisecond))
}

func checkMoved(t *testing.T, l *Lab, g *Guest, to *Host) {
	t.Helper()
	start := time.Now()
	ctx := deadline(t, 20*time.Second)
	if err := l.CheckOnlyOn(ctx, g, to); err != nil {
		t.Error(err)
	}
	t.Logf("checked in %v", time.Since(start).Round(time.Millisecond))
	var persistent []string
	if g.Spec.Persistent {
		persistent = []string{g.Name}
	}
	if err := to.Peer().WaitClean(ctx, persistent...); err != nil {
		t.Error(err)
	}
	if err := to.WaitClean(ctx, g.Name); err != nil {
		t.Error(err)
	}
}

// testDirect migrates a guest to B and back.
func testDirect(t *testing.T, l *Lab) {
	g := startGuest(t, l.A, GuestSpec{Name: "direct", Persistent: true})
	ctx := deadline(t, time.Minute)
	if err := g.WaitPasses(ctx, l.A, 2); err != nil {
		t.Fatal(err)
	}
	if err := l.CheckOnlyOn(ctx, g, l.B); err == nil || !strings.Contains(err.Error(), "running with QEMU") {
		t.Errorf("before it migrates, CheckOnlyOn says of host B: %v", err)
	}
	migrate(t, g, l.A)
	checkMoved(t, l, g, l.B)
	migrate(t, g, l.B)
	checkMoved(t, l, g, l.A)
}

// testPostCopy gives pre-copy no chance: the guest dirties more than the link carries.
func testPostCopy(t *testing.T, l *Lab) {
	// Persistent, as libvirt tells of a job at the source alone, and of a guest that it still
	// knows.
	g := startGuest(t, l.A, GuestSpec{Name: "postcopy", MemoryMiB: 64, DirtyMiB: 32, Persistent: true})
	if err := l.SlowLink(64 << 20); err != nil {
		t.Fatal(err)
	}
	defer l.SlowLink(0)
	migrate(t, g, l.A, "--postcopy", "--postcopy-after-precopy")
	stats, err := l.A.Virsh(t.Context(), "domjobinfo", "--completed", g.Name)
	if err != nil || !strings.Contains(stats, "Postcopy requests:") {
		t.Errorf("no page was fetched in post-copy: %s, %v", stats, err)
	}
	checkMoved(t, l, g, l.B)
}

func testStorage(t *testing.T, l *Lab) {
	g := startGuest(t, l.A, GuestSpec{Name: "storage", MemoryMiB: 16, DisksMiB: []int{8, 3}, Paused: true})
	if err := g.CreateDisks(l.B); err != nil {
		t.Fatal(err)
	}
	if err := l.CompareDisks(t.Context(), g); err == nil {
		t.Error("random disks equal empty ones")
	}
	migrate(t, g, l.A, "--copy-storage-all")
	checkMoved(t, l, g, l.B)
	if err := l.CompareDisks(t.Context(), g); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(l.B.Path(g.DiskPath(1)), 2<<20); err != nil {
		t.Fatal(err)
	}
	if err := l.CompareDisks(t.Context(), g); err == nil || !strings.Contains(err.Error(), "sizes differ") {
		t.Errorf("a disk cut short: %v", err)
	}
}

// testCorrupt proves that each check can fail.
func testCorrupt(t *testing.T, l *Lab) {
	g := startGuest(t, l.A, GuestSpec{Name: "corrupt", MemoryMiB: 16})
	ctx := deadline(t, 20*time.Second)
	if err := l.CheckOnlyOn(ctx, g, l.A); err != nil {
		t.Fatal(err)
	}
	if err := g.Spoil(ctx, l.A); err != nil {
		t.Fatal(err)
	}
	if err := g.WaitPasses(ctx, l.A, 1000); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the guest's own check: %v", err)
	} else {
		t.Log(err)
	}
	if err := g.CheckMemory(ctx, l.A); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the check from outside: %v", err)
	} else {
		t.Log(err)
	}
	if err := l.CheckOnlyOn(ctx, g, l.A); !errors.Is(err, ErrCorrupt) {
		t.Errorf("CheckOnlyOn: %v", err)
	}
}

// testLibvirtd kills libvirtd under a guest, which must not mind.
func testLibvirtd(t *testing.T, l *Lab) {
	g := startGuest(t, l.B, GuestSpec{Name: "orphan", MemoryMiB: 16})
	ctx := deadline(t, 20*time.Second)
	before, err := l.B.LibvirtdPID()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.B.KillLibvirtd(ctx, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if pid, err := l.B.LibvirtdPID(); err == nil {
		t.Errorf("after its death libvirtd is %d", pid)
	}
	if _, err := l.B.Virsh(ctx, "list"); err == nil {
		t.Error("virsh reached a dead libvirtd")
	}
	if err := g.WaitPasses(ctx, l.B, 2); err != nil {
		t.Error(err)
	}
	if err := l.B.StartLibvirtd(ctx); err != nil {
		t.Fatal(err)
	}
	if after, err := l.B.LibvirtdPID(); err != nil || after == before {
		t.Errorf("libvirtd was %d and is %d, %v", before, after, err)
	}
	if err := l.CheckOnlyOn(ctx, g, l.B); err != nil {
		t.Error(err)
	}
}

func testSpec(t *testing.T, l *Lab) {
	for _, spec := range []GuestSpec{
		{},
		{Name: "a/b"},
		{Name: "g", MemoryMiB: 1},
		{Name: "g", MemoryMiB: 3073},
		{Name: "g", MemoryMiB: 16, DirtyMiB: 16},
		{Name: "g", PassesPerSecond: 501},
		{Name: "g", Beats: 30},
		{Name: "g", Beats: 20},
		{Name: "g", MemoryMiB: 16, DirtyMiB: 7, EmptyMiB: 8, GrowKiB: 4},
		{Name: "g", EmptyMiB: 8},
		{Name: "g", GrowKiB: 4},
		{Name: "g", SpreadKiB: 6},
		{Name: "g", MemoryMiB: 16, DirtyMiB: 15, SpreadKiB: 4},
		{Name: "g", RestPasses: 1},
	} {
		if g, err := l.A.StartGuest(t.Context(), spec); err == nil {
			t.Errorf("%+v started", spec)
			g.Destroy(t.Context())
		}
	}
}

// TestPages checks that a link or a channel that compresses gains nothing from a guest's memory,
// and that no two of its pages are alike.
func TestPages(t *testing.T) {
	g := &Guest{Spec: GuestSpec{MemoryMiB: 3072}}
	var all bytes.Buffer
	w, err := flate.NewWriter(&all, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	var page [guestPage]byte
	const pages = 256
	for i := range uint32(pages) {
		// Spread over all of the memory, but in runs, so that neighbours are seen too.
		g.page(&page, guestBase+(i/16)*(190<<20)+(i%16)*guestPage)
		w.Write(page[:])
	}
	w.Close()
	if size := pages * guestPage; all.Len() < size {
		t.Errorf("%d bytes compress to %d", size, all.Len())
	}
}

// testReset has guests reset themselves, of which one ends by that.
func testReset(t *testing.T, l *Lab) {
	for _, ends := range []bool{false, true} {
		g := startGuest(t, l.A, GuestSpec{Name: fmt.Sprintf("reset-%t", ends), MemoryMiB: 48, EndsOnReset: ends})
		if err := g.ResetItself(l.A); err != nil {
			t.Fatal(err)
		}
		ctx := deadline(t, time.Minute)
		err := poll(ctx, "the reset", 10*time.Millisecond, func() (bool, error) {
			if ends {
				places, err := l.WhereRuns(ctx, g.Name)
				return err == nil && places[0].State == "" && len(places[0].QEMU) == 0, err
			}
			said, err := os.ReadFile(l.A.Path(g.serialPath()))
			return bytes.Count(said, []byte{sayFilled}) == 2, err
		})
		if err == nil && !ends {
			err = l.CheckOnlyOn(ctx, g, l.A)
		}
		if err != nil {
			t.Errorf("ends: %t: %v", ends, err)
		}
	}
}
