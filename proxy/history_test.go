package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/history"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// newHistorian is a host that keeps history in a folder of its own, and is not started.
func newHistorian(t *testing.T) (h *testHost, top string) {
	ca := hosttest.NewAuthority(t, "CA")
	h = newTestHost(t, "host-b")
	h.noLibvirt = true
	h.Trust(ca)
	h.Certify(ca, pki.Host{})
	return h, fmt.Sprintf("state_dir = '%s'", h.Path("state"))
}

// carries adds a session that carries a guest.
func (h *testHost) carries(id, guest, direction string) *session.Entry {
	h.T.Helper()
	e, err := h.Sessions.Add(stream.Info{ID: id, Work: session.WorkMigration, Guest: guest, Peer: "host-a", UUID: "6a0e4fd0-54d9-4c9a-8f43-" + id[:12]}, direction)
	if err != nil {
		h.T.Fatal(err)
	}
	return e
}

// recalls is what history has of each session, by its ID's beginning.
func (h *testHost) recalls(q *control.HistoryQuery) map[string]string {
	h.T.Helper()
	found, err := control.New(h.Path("run/control.sock")).History(h.T.Context(), q)
	if err != nil {
		h.T.Fatal(err)
	}
	all := make(map[string]string)
	for _, s := range found.Sessions {
		if s.Samples != nil {
			h.T.Errorf("a list has samples: %+v", s)
		}
		all[s.ID[:4]] = s.Guest + " " + s.Outcome
	}
	return all
}

func same(t *testing.T, when string, got, want map[string]string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) { // maps are printed in order
		t.Errorf("%s: %v, want %v", when, got, want)
	}
}

const id1, id2, id3, id4 = "1111111111111111", "2222222222222222", "3333333333333333", "4444444444444444"

// What ended is there after a restart, in status too, and a connection of a libvirt client's is not.
func TestHistoryOverRestart(t *testing.T) {
	h, top := newHistorian(t)
	h.start(top, hosttest.PeerA)
	h.Sessions.End(h.carries(id1, "web", control.Outgoing), control.Moved, stream.CodeDone, "")
	h.Sessions.End(h.carries(id2, "db", control.Incoming), control.Failed, stream.CodeLink, "the link broke")
	client, err := h.Sessions.Add(stream.Info{ID: id3, Work: session.WorkLibvirt, Peer: "host-a"}, control.Incoming)
	if err != nil {
		t.Fatal(err)
	}
	h.Sessions.End(client, "", stream.CodeDone, "")
	want := map[string]string{"1111": "web moved", "2222": "db failed"}
	same(t, "before", h.recalls(&control.HistoryQuery{}), want)
	h.stop()

	h.start(top, hosttest.PeerA)
	same(t, "after a restart", h.recalls(&control.HistoryQuery{}), want)
	same(t, "failed", h.recalls(&control.HistoryQuery{Failed: true}), map[string]string{"2222": "db failed"})
	same(t, "of a guest", h.recalls(&control.HistoryQuery{Guest: "web", Limit: 1}), map[string]string{"1111": "web moved"})
	if st := h.status(); len(st.Ended) != 2 || st.Ended[0].ID != id2 || st.History.File != h.Path("state/history.db") || st.History.Problem != "" {
		t.Errorf("status: %+v, %+v", st.Ended, st.History)
	}
	c := control.New(h.Path("run/control.sock"))
	r, err := c.Session(t.Context(), "db")
	if err != nil || r.ID != id2 || r.Code != stream.CodeLink || r.Samples == nil || len(r.Phases) == 0 || r.Host != "host-b" || r.PID != os.Getpid() {
		t.Errorf("%+v, %v", r, err)
	}
	live := h.carries(id4, "mail", control.Outgoing)
	if r, err := c.Session(t.Context(), id4[:8]); err != nil || r.Guest != "mail" || !r.Ended.IsZero() {
		t.Errorf("under way: %+v, %v", r, err)
	}
	h.Sessions.End(live, control.Failed, stream.CodeLimit, "limits.session_bytes")
	if r, err = c.Session(t.Context(), "mail"); err != nil || len(r.Notes) != 1 || r.Notes[0].Kind != control.NoteLimit {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = c.Session(t.Context(), "nobody")
	if refused, is := errors.AsType[*control.Error](err); !is || refused.Code != http.StatusNotFound {
		t.Errorf("%v", err)
	}
}

// Sessions of a process that was killed become entries that say so. What became of their guests is
// what this host has noted of those that came, and what is settled of those that left.
func TestHistoryOfKilled(t *testing.T) {
	h, top := newHistorian(t)
	store := &history.Store{Folder: h.Path("state")}
	lived := func(id, guest, direction string) *control.SessionRecord {
		return &control.SessionRecord{Keeper: control.Keeper{Host: "host-b", PID: 7}, SessionStatus: control.SessionStatus{
			ID: id, Kind: session.WorkMigration, Direction: direction, Guest: guest, Peer: "host-a", Started: time.Now().Add(-time.Minute)}}
	}
	if err := store.Write(history.Change{Process: "gone", Live: []*control.SessionRecord{
		lived(id1, "web", control.Outgoing), lived(id2, "db", control.Incoming), lived(id3, "mail", control.Outgoing)}}, history.Bounds{}); err != nil {
		t.Fatal(err)
	}
	h.start(top, hosttest.PeerA)
	want := map[string]string{"1111": "web unknown", "2222": "db unknown", "3333": "mail unknown"}
	same(t, "after the next start", h.recalls(&control.HistoryQuery{}), want)
	if n := strings.Count(h.logged.String(), `"audit":"migration"`); n != 3 {
		t.Errorf("%d audit lines in\n%s", n, h.logged.String())
	}
	r, err := control.New(h.Path("run/control.sock")).Session(t.Context(), "web")
	if err != nil || r.Code != control.CodeKilled || !strings.Contains(r.Cause, "process 7") {
		t.Errorf("%+v, %v", r, err)
	}
	h.departureSettled(id1, "host-a", departure.Runs)
	h.departureSettled(id3, "host-a", departure.Absent)
	want["1111"], want["3333"] = "web moved", "mail failed"
	h.settles(want)
	for _, s := range h.status().Ended {
		if s.Outcome != strings.Fields(want[s.ID[:4]])[1] {
			t.Errorf("status has %s %s", s.Guest, s.Outcome)
		}
	}
	h.stop()
	h.start(top, hosttest.PeerA)
	same(t, "after another restart", h.recalls(&control.HistoryQuery{}), want)
}

// settles waits until history has what became of sessions.
func (h *testHost) settles(want map[string]string) {
	h.T.Helper()
	var got map[string]string
	if !hosttest.Within(20*time.Second, func() bool {
		got = h.recalls(&control.HistoryQuery{})
		return fmt.Sprint(got) == fmt.Sprint(want)
	}) {
		h.T.Errorf("%v, want %v", got, want)
	}
}

// Where nothing can be written the daemon serves, says so once in its log and in status, and still
// tells what it has seen.
func TestHistoryCannotBeKept(t *testing.T) {
	h, _ := newHistorian(t)
	h.Put("file", nil)
	h.start(fmt.Sprintf("state_dir = '%s/state'", h.Path("file")), hosttest.PeerA)
	for i, id := range []string{id1, id2, id3} {
		h.Sessions.End(h.carries(id, fmt.Sprint("guest", i), control.Outgoing), control.Moved, stream.CodeDone, "")
	}
	same(t, "nothing is written", h.recalls(&control.HistoryQuery{}), map[string]string{"1111": "guest0 moved", "2222": "guest1 moved", "3333": "guest2 moved"})
	if st := h.status().History; !strings.Contains(st.Problem, h.Path("file")) {
		t.Errorf("status: %+v", st)
	}
	h.stop()
	if n := strings.Count(h.logged.String(), "history can't be written"); n != 1 {
		t.Errorf("it is logged %d times in\n%s", n, h.logged.String())
	}
}

// A damaged file is set aside, and told.
func TestHistoryIsDamaged(t *testing.T) {
	h, top := newHistorian(t)
	if err := os.Mkdir(h.Path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.Put("state/history.db", []byte(strings.Repeat("no database\n", 1000)))
	h.start(top, hosttest.PeerA)
	h.Sessions.End(h.carries(id1, "web", control.Outgoing), control.Moved, stream.CodeDone, "")
	h.stop()
	h.start(top, hosttest.PeerA)
	same(t, "after it was set aside", h.recalls(&control.HistoryQuery{}), map[string]string{"1111": "web moved"})
	if _, err := os.Stat(h.Path("state/history.db.damaged")); err != nil {
		t.Error(err)
	}
	if !strings.Contains(h.logged.String(), "the file of history was damaged") {
		t.Errorf("log:\n%s", h.logged.String())
	}
}

// Without a folder nothing is kept, and what ended is told as long as the daemon lives.
func TestHistoryIsOff(t *testing.T) {
	h, _ := newHistorian(t)
	h.start("state_dir = 'off'", hosttest.PeerA)
	h.Sessions.End(h.carries(id1, "web", control.Outgoing), control.Moved, stream.CodeDone, "")
	same(t, "at first", h.recalls(&control.HistoryQuery{}), map[string]string{"1111": "web moved"})
	if st := h.status().History; st.File != "" || st.Problem != "" {
		t.Errorf("status: %+v", st)
	}
	h.stop()
	h.start("state_dir = 'off'", hosttest.PeerA)
	same(t, "after a restart", h.recalls(&control.HistoryQuery{}), map[string]string{})
}

// Who asked is told by the kernel of a local caller, and by the certificate of a peer.
func TestWhoAsked(t *testing.T) {
	a, b := pairOfHosts(t, hosttest.NewAuthority(t, "CA"))
	b.start("", hosttest.PeerA)
	a.start("", peerTable(b, ""))
	c := a.echo("host-b")
	echoes(t, c, "a call")
	for _, h := range []*testHost{a, b} {
		live := h.status().Sessions
		if len(live) != 1 || live[0].Asked == nil {
			t.Fatalf("%s: %+v", h.Name, live)
		}
		who := live[0].Asked
		if h == a && (who.UID == nil || int(*who.UID) != os.Getuid() || who.PID != os.Getpid() || who.Certificate != "") ||
			h == b && (who.UID != nil || !strings.Contains(who.Certificate, "DNS:host-a")) {
			t.Errorf("%s: asked by %+v", h.Name, who)
		}
	}
	c.Close()
}

// auditFields are those of an audit line that any migration has. Programs read them by name.
var auditFields = []string{"audit", "session", "work", "direction", "guest", "uuid", "peer", "address", "options", "outcome", "code", "cause", "started", "elapsed", "downtime",
	"sent", "received", "tls", "suite", "path", "level", "message"}

func TestAuditLine(t *testing.T) {
	h, top := newHistorian(t)
	h.start(top, hosttest.PeerA)
	uid := uint32(993)
	e := h.carries(id1, "web", control.Outgoing)
	e.AskedBy(&control.Asker{UID: &uid, User: "nova", PID: 812}, []string{"--postcopy"})
	h.Sessions.End(e, control.Moved, stream.CodeDone, "")
	e = h.carries(id2, "db", control.Incoming)
	e.AskedBy(&control.Asker{Certificate: "DNS:host-a"}, nil)
	h.Sessions.End(e, control.Failed, stream.CodeLink, "the link broke")
	var lines []map[string]any
	for line := range strings.Lines(h.logged.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["audit"] != nil {
			lines = append(lines, fields)
		}
	}
	if len(lines) != 2 {
		t.Fatalf("%v", lines)
	}
	for i, more := range [][]string{{"uid", "user", "caller_pid"}, {"certificate"}} {
		for _, name := range append(slices.Clone(auditFields), more...) {
			if _, has := lines[i][name]; !has {
				t.Errorf("line %d has no %s: %v", i, name, lines[i])
			}
			delete(lines[i], name)
		}
		if len(lines[i]) > 0 {
			t.Errorf("line %d has more: %v", i, lines[i])
		}
	}
	docs, err := os.ReadFile("../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range auditFields[:len(auditFields)-2] {
		if !strings.Contains(string(docs), "`"+name+"`") {
			t.Errorf("docs/cli.md does not have the field %s", name)
		}
	}
}
