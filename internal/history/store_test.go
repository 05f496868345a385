package history

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// record is a session of so many minutes after noon.
func record(id, guest string, minute int, outcome string) *control.SessionRecord {
	started := noon.Add(time.Duration(minute) * time.Minute)
	return &control.SessionRecord{
		SessionStatus: control.SessionStatus{
			ID: id, Kind: "migration", Direction: control.Outgoing, Guest: guest, UUID: "u-" + guest, Peer: "host-b",
			Started: started, Ended: started.Add(30 * time.Second), Outcome: outcome,
			Channels: []control.ChannelStatus{{Name: "memory-0", Sent: 1 << 30}},
		},
		Samples: &control.Samples{At: []int64{0, 500}, Carried: []uint64{0, 9}, Rate: []uint64{0, 9}, Remaining: []uint64{9, 0}, DirtyRate: []uint64{1, 1}},
	}
}

func ids(all []control.SessionRecord) (ids []string) {
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	return ids
}

// patience is longer than anything takes on a busy machine.
const patience = 2 * time.Minute

func newStore(t *testing.T) *Store {
	t.Helper()
	return &Store{Folder: filepath.Join(t.TempDir(), "state"), Patience: patience, Aside: func(name string, damage error) { t.Errorf("%s was set aside: %v", name, damage) }}
}

func (s *Store) mustWrite(t *testing.T, c Change, b Bounds) {
	t.Helper()
	if err := s.Write(c, b); err != nil {
		t.Fatal(err)
	}
}

func (s *Store) mustList(t *testing.T, q *control.HistoryQuery) []control.SessionRecord {
	t.Helper()
	all, err := s.List(q)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestList(t *testing.T) {
	s := newStore(t)
	if all := s.mustList(t, &control.HistoryQuery{}); len(all) != 0 {
		t.Errorf("before anything is written: %+v", all)
	}
	s.mustWrite(t, Change{Process: "p", Ended: []*control.SessionRecord{
		record("aaaaaaaa1", "web", 0, control.Moved), record("bbbbbbbb2", "db", 1, control.Failed),
		record("cccccccc3", "web", 2, control.Unknown), record("dddddddd4", "mail", 3, control.Cancelled),
	}}, Bounds{})
	for _, c := range []struct {
		q    control.HistoryQuery
		want []string
	}{
		{control.HistoryQuery{}, []string{"dddddddd4", "cccccccc3", "bbbbbbbb2", "aaaaaaaa1"}},
		{control.HistoryQuery{Limit: 2}, []string{"dddddddd4", "cccccccc3"}},
		{control.HistoryQuery{Guest: "web"}, []string{"cccccccc3", "aaaaaaaa1"}},
		{control.HistoryQuery{Guest: "u-db"}, []string{"bbbbbbbb2"}},
		{control.HistoryQuery{Failed: true}, []string{"dddddddd4", "cccccccc3", "bbbbbbbb2"}},
		{control.HistoryQuery{Since: noon.Add(2*time.Minute + 30*time.Second)}, []string{"dddddddd4", "cccccccc3"}},
		{control.HistoryQuery{Guest: "web", Failed: true, Limit: 5}, []string{"cccccccc3"}},
		{control.HistoryQuery{Guest: "nobody"}, nil},
	} {
		all := s.mustList(t, &c.q)
		if got := ids(all); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
		for _, r := range all {
			if r.Samples != nil {
				t.Errorf("%+v has samples", r)
			}
		}
	}
	for name, want := range map[string]string{"web": "cccccccc3", "u-db": "bbbbbbbb2", "aaaaaaaa": "aaaaaaaa1", "aaaaaaaa1": "aaaaaaaa1", "aaa": "", "": ""} {
		r, err := s.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if (r == nil) != (want == "") || r != nil && (r.ID != want || len(r.Samples.At) != 2 || r.Channels[0].Sent != 1<<30) {
			t.Errorf("%q finds %+v, want %q", name, r, want)
		}
	}
}

// Nobody but the daemon's user may read who moved what.
func TestModes(t *testing.T) {
	s := newStore(t)
	s.mustWrite(t, Change{Process: "p", Ended: []*control.SessionRecord{record("a", "web", 0, control.Moved)}}, Bounds{})
	for path, want := range map[string]os.FileMode{s.Folder: 0o700 | os.ModeDir, s.File(): 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
}

// What lived in a process that lives no more becomes an entry, once, and what became of its guest is
// written in when it is known.
func TestAdopt(t *testing.T) {
	s := newStore(t)
	live := record("live", "web", 0, "")
	live.Ended = time.Time{}
	before := time.Now()
	s.mustWrite(t, Change{Process: "killed", Live: []*control.SessionRecord{live}}, Bounds{})
	s.mustWrite(t, Change{Process: "lives", Live: []*control.SessionRecord{record("other", "db", 0, "")}}, Bounds{})
	if r, err := s.Find("web"); err != nil || r == nil || !r.Ended.IsZero() {
		t.Fatalf("under way: %+v, %v", r, err)
	}
	lives := func(process string) bool { return process == "lives" }
	judge := func(r *control.SessionRecord) bool { r.Outcome = control.Unknown; return true }
	for turn, want := range []int{1, 0} {
		adopted, err := s.Adopt(lives, judge)
		if err != nil || len(adopted) != want {
			t.Fatalf("turn %d: %+v, %v", turn, adopted, err)
		}
	}
	all := s.mustList(t, &control.HistoryQuery{})
	if len(all) != 1 || all[0].ID != "live" || all[0].Outcome != control.Unknown || all[0].Ended.Before(before) {
		t.Fatalf("%+v", all)
	}
	settled := Settled{Session: "live", Outcome: control.Moved, Text: "it runs there", At: time.Now()}
	s.mustWrite(t, Change{Process: "lives", Settled: []Settled{settled, {Session: "nobody's", Outcome: control.Failed}}}, Bounds{})
	if all = s.mustList(t, &control.HistoryQuery{}); len(all) != 1 || all[0].Outcome != control.Moved || len(all[0].Notes) != 1 {
		t.Errorf("settled: %+v", all)
	}
	// What is known is not settled again.
	settled.Outcome = control.Failed
	s.mustWrite(t, Change{Process: "lives", Settled: []Settled{settled}}, Bounds{})
	if all = s.mustList(t, &control.HistoryQuery{}); all[0].Outcome != control.Moved {
		t.Errorf("settled again: %+v", all)
	}
}

// A session that ends between two looks at what lives is not there twice.
func TestEndedIsNotLive(t *testing.T) {
	s := newStore(t)
	r := record("a", "web", 0, control.Moved)
	s.mustWrite(t, Change{Process: "p", Ended: []*control.SessionRecord{r}, Live: []*control.SessionRecord{r}}, Bounds{})
	adopted, err := s.Adopt(func(string) bool { return false }, func(*control.SessionRecord) bool { return true })
	if err != nil || len(adopted) != 0 {
		t.Errorf("%+v, %v", adopted, err)
	}
}

func TestBounds(t *testing.T) {
	s := newStore(t)
	now := time.Now()
	at := func(r *control.SessionRecord, age time.Duration) *control.SessionRecord {
		r.Ended = now.Add(-age)
		return r
	}
	// One peer brings many, each of them failing.
	var flood []*control.SessionRecord
	for i := range 30 {
		r := at(record(fmt.Sprintf("flood%02d", i), "x", 0, control.Failed), time.Hour-time.Duration(i)*time.Second)
		r.Direction, r.Peer = control.Incoming, "host-x"
		flood = append(flood, r)
	}
	own := []*control.SessionRecord{
		at(record("old", "web", 0, control.Moved), 91*24*time.Hour),
		at(record("kept1", "web", 0, control.Moved), 89*24*time.Hour),
		at(record("kept2", "web", 0, control.Moved), 2*time.Hour),
	}
	s.mustWrite(t, Change{Process: "p", Ended: append(own, flood...)}, Bounds{Sessions: 10, Age: 90 * 24 * time.Hour})
	got := ids(s.mustList(t, &control.HistoryQuery{}))
	want := []string{"flood29", "flood28", "flood27", "flood26", "flood25", "flood24", "flood23", "flood22", "kept2", "kept1"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// Exactly as many as may be, and one more.
	for _, n := range []int{10, 9} {
		s.mustWrite(t, Change{Process: "p"}, Bounds{Sessions: n})
		if got := len(s.mustList(t, &control.HistoryQuery{})); got != n {
			t.Errorf("%d of %d", got, n)
		}
	}
}

// A record as long as the protocol lets a peer make it is kept without what it can do without.
func TestLongRecord(t *testing.T) {
	s := newStore(t)
	r := record("a", "web", 0, control.Failed)
	for i := range 1024 {
		r.Channels = append(r.Channels, control.ChannelStatus{Name: fmt.Sprintf("memory-%d", i), Kind: "memory", TLS: "TLS1.3", Suite: "TLS_AES_256_GCM_SHA384", Group: "X25519-MLKEM768", Path: "records"})
	}
	s.mustWrite(t, Change{Process: "p", Ended: []*control.SessionRecord{r}}, Bounds{})
	all := s.mustList(t, &control.HistoryQuery{})
	if len(all) != 1 || len(all[0].Channels) != 64 || all[0].Outcome != control.Failed {
		t.Errorf("%d entries, the first with %d channels", len(all), len(all[0].Channels))
	}
}
