package arrival

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/virt"
)

func newArrivals(t *testing.T, folder string) *Arrivals {
	t.Helper()
	dir, err := rundir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Close)
	a := New(&host.Host{Config: &config.Config{Name: "host-b"}, State: &host.State{Log: zerolog.Nop(), Dir: dir}, Libvirt: virt.Libvirt{Socket: folder + "/none", Host: "host-b"}})
	if err := a.Load(); err != nil {
		t.Fatal(err)
	}
	return a
}

// Nobody else may bring a guest of the same UUID or name, as a decoy or not, as long as one is on
// its way.
func TestClaimIsExclusive(t *testing.T) {
	a := newArrivals(t, t.TempDir())
	one, two := [16]byte{1}, [16]byte{2}
	victim, err := a.Claim(t.Context(), Bringer{"host-a", "s1"}, one, "web1", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Claim(t.Context(), Bringer{"host-c", "s2"}, two, "web1", 0)
	hosttest.Says(t, err, "guest web1 (01000000-", "is on its way to host-b already: host-a brings it")
	_, err = a.Claim(t.Context(), Bringer{"host-c", "s3"}, one, "other", 0)
	hosttest.Says(t, err, "host-a brings it")
	victim.End(NeverRan)
	victim.End(Ran) // the first counts
	if v := victim.Verdict(); v != NeverRan {
		t.Errorf("the verdict is %v", v)
	}
	if _, err := a.Claim(t.Context(), Bringer{"host-c", "s4"}, one, "web1", 0); err != nil {
		t.Error(err)
	}
}

// What was never asked for never ran, whoever ends it and however.
func TestNeverAskedNeverRan(t *testing.T) {
	a := newArrivals(t, t.TempDir())
	g, err := a.Claim(t.Context(), Bringer{"host-a", "s"}, [16]byte{1}, "web1", 0)
	if err != nil {
		t.Fatal(err)
	}
	g.id = 7 // libvirt has prepared it
	g.End(Undecided)
	if r, known := a.records.get("host-a", "s"); !known || r.Verdict != NeverRan {
		t.Errorf("%+v, %v", r, known)
	}
	if _, known := a.records.get("host-c", "s"); known {
		t.Error("another peer's session is known")
	}
}

// A daemon that is started again answers for the one before it.
func TestRecordsOutliveTheDaemon(t *testing.T) {
	folder := t.TempDir()
	dir, err := rundir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	a := New(&host.Host{Config: &config.Config{Name: "host-b"}, State: &host.State{Log: zerolog.Nop(), Dir: dir}})
	if err := a.Load(); err != nil {
		t.Fatal(err)
	}
	for i, v := range []Verdict{Ran, NeverRan, Undecided} {
		r := record{Peer: "host/a", Session: string(rune('a' + i)), UUID: "u", ID: 7, Verdict: v}
		if err := a.records.set(record{Peer: r.Peer, Session: r.Session}); err != nil {
			t.Fatal(err)
		}
		if err := a.records.set(r); err != nil {
			t.Fatal(err)
		}
	}
	dir.Close()
	b := newArrivals(t, folder)
	for i, v := range []Verdict{Ran, NeverRan, Undecided} {
		r, known := b.records.get("host/a", string(rune('a'+i)))
		if !known || r.Verdict != v || r.ID != 7 {
			t.Errorf("%d: %+v, %v", i, r, known)
		}
	}
}

// No more are kept than a source may ask for.
func TestRecordsAreBounded(t *testing.T) {
	a := newArrivals(t, t.TempDir())
	for i := range keptRecords + 3 {
		if err := a.records.set(record{Peer: "a", Session: string(rune('0' + i))}); err != nil {
			t.Fatal(err)
		}
	}
	b := new(records)
	if err := b.load(a.Dir); err != nil {
		t.Fatal(err)
	}
	if len(a.records.of) != keptRecords || len(b.of) != keptRecords {
		t.Errorf("%d are kept, and %d in files", len(a.records.of), len(b.of))
	}
}

// A session's ID may come from a peer: whatever it says, its record stays in its folder.
func TestRecordsStayInTheirFolder(t *testing.T) {
	folder := t.TempDir()
	a := newArrivals(t, folder)
	for _, id := range []string{"../../planted", "/planted", "x/../../planted", "..", "."} {
		if err := a.records.set(record{Peer: "host-a", Session: id}); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	noted, err := os.ReadDir(a.records.folder)
	if err != nil || len(noted) != 5 {
		t.Errorf("%d records, %v", len(noted), err)
	}
	filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "planted" {
			t.Errorf("%s was written", path)
		}
		return err
	})
}

// Finish in post-copy lasts for as long as libvirt says that it is one, and otherwise for its
// limit.
func TestFinishIsBoundedButInPostcopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		why := errors.New("why")
		for _, passed := range []int{0, 3} {
			began, asked := time.Now(), 0
			ctx, cancel := bounded(context.Background(), limit, func() bool { asked++; return asked <= passed }, why)
			<-ctx.Done()
			if got, want := time.Since(began), limit*time.Duration(passed+1); got != want || context.Cause(ctx) != why {
				t.Errorf("it ended after %v, not %v: %v", got, want, context.Cause(ctx))
			}
			cancel()
		}
		_, cancel := bounded(context.Background(), limit, func() bool { return true }, why)
		cancel() // its goroutine ends, or the bubble would not
	})
}

// A peer that has many records has its own forgotten, not another's.
func TestRecordsOfOnePeerPushOutNoOthers(t *testing.T) {
	a := newArrivals(t, t.TempDir())
	if err := a.records.set(record{Peer: "host-a", Session: "s", Verdict: Ran}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * keptRecords {
		if err := a.records.set(record{Peer: "host-c", Session: string(rune('0' + i))}); err != nil {
			t.Fatal(err)
		}
	}
	if r, known := a.records.get("host-a", "s"); !known || r.Verdict != Ran {
		t.Errorf("%+v, %v", r, known)
	}
}

// Of what libvirt has not prepared nothing is kept.
func TestNothingIsKeptOfARefusedPrepare(t *testing.T) {
	a := newArrivals(t, t.TempDir())
	g, err := a.Claim(t.Context(), Bringer{"host-a", "s"}, [16]byte{1}, "web1", 0)
	if err != nil {
		t.Fatal(err)
	}
	g.End(NeverRan)
	if _, known := a.records.get("host-a", "s"); known {
		t.Error("it is remembered")
	}
}
