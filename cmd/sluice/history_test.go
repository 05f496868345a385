package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/virt-sluice/sluice/proxy/control"
)

// standinHistory is what the stand-in keeps: its filters are the daemon's own.
func standinHistory(_ context.Context, q *control.HistoryQuery) (*control.History, error) {
	h := &control.History{Host: "host-a", HistoryStatus: control.HistoryStatus{File: "/var/lib/sluice/history.db"}, Sessions: []control.SessionRecord{}}
	for _, r := range standinRecords() {
		r.Samples = nil
		if q.Wants(&r.SessionStatus) && (q.Limit == 0 || len(h.Sessions) < q.Limit) {
			h.Sessions = append(h.Sessions, *r)
		}
	}
	return h, nil
}

func standinSession(_ context.Context, name string) (*control.SessionRecord, error) {
	for _, r := range standinRecords() {
		if r.Is(name) {
			return r, nil
		}
	}
	return nil, &control.Error{Code: http.StatusNotFound, Message: fmt.Sprintf("no migration of a guest %q", name)}
}

// standinRecords are of a day in the past, so that screens stay the same.
func standinRecords() []*control.SessionRecord {
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	keeper := control.Keeper{Host: "host-a", Version: "v0", PID: 4711}
	nova, root := uint32(993), uint32(0)
	moved := &control.SessionRecord{
		Keeper: keeper,
		SessionStatus: control.SessionStatus{
			ID: "81dabf6a10ad6a8af243296899240001", Kind: "migration", Direction: control.Outgoing, Guest: "web1.example.org", UUID: "6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb",
			Peer: "host-b", Address: "host-b:16514", Phase: control.PhaseDone, Started: noon, Ended: noon.Add(41 * time.Second), Sent: 8 << 30, Received: 1 << 20,
			TLS: "TLS1.3", Suite: "TLS_AES_128_GCM_SHA256", Group: "X25519-MLKEM768", Path: "records", Memory: "sluice", Outcome: control.Moved, Downtime: 84 * time.Millisecond,
			Asked: &control.Asker{UID: &nova, User: "nova", PID: 812}, Options: []string{"--postcopy", "--bandwidth 400", "--timeout 300"},
			DisksMade: []string{"/var/lib/libvirt/images/web1.qcow2"},
			Channels: []control.ChannelStatus{
				{Name: "control", Path: "records", TLS: "TLS1.3", Suite: "TLS_AES_128_GCM_SHA256"},
				{Name: "memory-0", Path: "records", TLS: "TLS1.3", Suite: "TLS_AES_128_GCM_SHA256", Sent: 8 << 30, Received: 1 << 20},
			},
		},
		Phases: []control.PhaseStart{{Phase: control.PhaseConnect, At: 0}, {Phase: control.PhasePrepare, At: 120}, {Phase: control.PhaseMemory, At: 1900},
			{Phase: control.PhasePost, At: 32000}, {Phase: control.PhaseConfirm, At: 40100}, {Phase: control.PhaseDone, At: 40900}},
		Passes: []control.PassStart{{Pass: 1, At: 1900, Remaining: 8 << 30}},
		Notes: []control.Note{
			{At: 130, Kind: control.NoteLimit, Text: "bandwidth: 400 MiB/s (--bandwidth)"},
			{At: 31000, Kind: control.NoteDecision, Text: "QEMU is asked to switch to post-copy"},
			{At: 32000, Kind: control.NoteDecision, Text: "switched to post-copy: no limit of time, bytes or bandwidth holds any more"},
			{At: 22000, Kind: control.NoteWarning, Text: "no progress: the guest changes its memory as fast as it gets through"},
		},
		Samples: new(control.Samples),
	}
	for i := range 13 { // so many that not all are shown
		moved.Passes = append(moved.Passes, control.PassStart{Pass: uint64(i) + 2, At: 20000 + 900*int64(i), Remaining: uint64(400-9*i) << 20, DirtyRate: uint64(300+i) << 20})
	}
	for i := range 82 {
		s := moved.Samples
		s.At = append(s.At, int64(i)*500)
		s.Carried = append(s.Carried, uint64(i)*100<<20)
		s.Rate = append(s.Rate, uint64(min(i, 10)*(82-i))<<19)
		s.Remaining = append(s.Remaining, uint64(82-i)*100<<20)
		s.DirtyRate = append(s.DirtyRate, uint64(i%7)<<20)
	}
	failed := &control.SessionRecord{
		Keeper: keeper,
		SessionStatus: control.SessionStatus{
			ID: "9c0f3b5510ad6a8af243296899240002", Kind: "steered", Direction: control.Incoming, Guest: "<script>alert(1)</script>", Peer: "host-07", Address: "192.0.2.7:16514",
			Phase: control.PhaseMemory, Started: noon.Add(-time.Hour), Ended: noon.Add(-59 * time.Minute), Received: 1 << 30, TLS: "TLS1.3", Path: "records", Memory: "sluice",
			Outcome: control.Failed, Code: "link", Cause: "host-07: channel memory-0: the connection broke:\nread: no \x1b[31mroute to host",
			Asked: &control.Asker{Certificate: "DNS:host-07, DN:CN=host-07,O=Example"},
		},
		Phases: []control.PhaseStart{{Phase: control.PhaseConnect, At: 0}},
	}
	killed := &control.SessionRecord{
		Keeper: keeper,
		SessionStatus: control.SessionStatus{
			ID: "a1b2c3d410ad6a8af243296899240003", Kind: "migration", Direction: control.Outgoing, Guest: "db1", Peer: "host-b", Phase: control.PhaseMemory,
			Started: noon.Add(-49 * time.Hour), Ended: noon.Add(-48 * time.Hour), Sent: 3 << 30, TLS: "TLS1.3", Path: "ktls", Memory: "sluice", Outcome: control.Unknown, Code: control.CodeKilled,
			Cause: "host-a: the daemon (process 4711) ended while this was under way: it was killed, or the host went down",
			Asked: &control.Asker{UID: &root, User: "root", PID: 99},
		},
	}
	return []*control.SessionRecord{moved, failed, killed}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"":                     {},
		"90m":                  now.Add(-90 * time.Minute),
		"7d":                   now.AddDate(0, 0, -7),
		"2026-01-30":           time.Date(2026, 1, 30, 0, 0, 0, 0, time.Local),
		"2026-01-30 14:05":     time.Date(2026, 1, 30, 14, 5, 0, 0, time.Local),
		"2026-01-30T14:05:06Z": time.Date(2026, 1, 30, 14, 5, 6, 0, time.UTC),
	} {
		if at, err := moment(text, now); err != nil || !at.Equal(want) {
			t.Errorf("%q is %v, %v, want %v", text, at, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-5m", "0d", "7dd", "7d3", "5", "2026-13-01"} {
		if at, err := moment(text, now); err == nil || !strings.Contains(err.Error(), "7d") {
			t.Errorf("%q is %v, %v", text, at, err)
		}
	}
}

// The page of a report is whole HTML that loads nothing, has no script, and shows what peers have
// said as text.
func TestReportPage(t *testing.T) {
	for _, r := range standinRecords() {
		var b strings.Builder
		if err := writeReportPage(&b, r, time.Now()); err != nil {
			t.Fatal(err)
		}
		counts := make(map[string]int)
		var open []string
		text := ""
		z := html.NewTokenizer(strings.NewReader(b.String()))
		for z.Next() != html.ErrorToken {
			token := z.Token()
			switch token.Type {
			case html.StartTagToken, html.SelfClosingTagToken:
				counts[token.Data]++
				for _, a := range token.Attr {
					if a.Key == "src" || a.Key == "href" || strings.HasPrefix(a.Key, "on") || strings.Contains(a.Val, "//") {
						t.Errorf("%s has %s=%q", token.Data, a.Key, a.Val)
					}
					if a.Key == "points" {
						inside(t, a.Val)
					}
				}
				if token.Type == html.StartTagToken && token.Data != "meta" {
					open = append(open, token.Data)
				}
			case html.EndTagToken:
				if n := len(open); n == 0 || open[n-1] != token.Data {
					t.Fatalf("</%s> within %q", token.Data, open)
				}
				open = open[:len(open)-1]
			case html.TextToken:
				text += token.Data
			}
		}
		if len(open) > 0 {
			t.Errorf("not closed: %q", open)
		}
		if counts["script"]+counts["img"]+counts["link"]+counts["iframe"] > 0 || strings.Contains(b.String(), "url(") || strings.Contains(b.String(), "@import") {
			t.Errorf("it loads something, or has a script: %v", counts)
		}
		if !strings.Contains(text, r.Guest) || !strings.Contains(text, r.Outcome) || strings.ContainsRune(text, '\x1b') {
			t.Errorf("it has the text\n%s", text)
		}
		if r.Samples != nil && (counts["polyline"] != 3 || counts["svg"] != 4) {
			t.Errorf("it has %v", counts)
		}
	}
}

// inside checks that a plot's points lie in it.
func inside(t *testing.T, points string) {
	t.Helper()
	for p := range strings.FieldsSeq(points) {
		xs, ys, _ := strings.Cut(p, ",")
		x, err := strconv.ParseFloat(xs, 64)
		y, err2 := strconv.ParseFloat(ys, 64)
		if err != nil || err2 != nil || x < 0 || x > plotWidth || y < 0 || y > plotHeight {
			t.Errorf("point %q", p)
		}
	}
}

// A terminal never gets what a peer has sent to steer it.
func TestReportIsTidy(t *testing.T) {
	t.Parallel()
	socket := startStandin(t)
	for _, args := range [][]string{{"report", "9c0f3b55"}, {"history"}} {
		out, err := exec.Command("sluice", append(args, "--socket", socket)...).CombinedOutput()
		if err != nil || strings.ContainsRune(string(out), '\x1b') {
			t.Errorf("%q: %v\n%q", args, err, out)
		}
	}
}
