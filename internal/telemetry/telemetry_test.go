//go:build !nogrpc

package telemetry

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/virt-sluice/sluice/internal/telemetry/telemetrytest"
	"github.com/virt-sluice/sluice/proxy/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, at string, log io.Writer) *Tracer {
	t.Helper()
	tr, err := Start(Options{Collector: at, Host: "host-a", Version: "1.2.3", Log: zerolog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

const session = "0123456789abcdef0123456789abcdef"

func record(direction string) *control.SessionRecord {
	began := time.Unix(1_800_000_000, 0)
	uid := uint32(1000)
	return &control.SessionRecord{
		SessionStatus: control.SessionStatus{ID: session, Kind: "migration", Direction: direction, Guest: "web1", UUID: "u", Peer: "host-b", Started: began, Ended: began.Add(10 * time.Second),
			Outcome: control.Moved, Downtime: 120 * time.Millisecond, Sent: 1 << 30, Asked: &control.Asker{UID: &uid, User: "ops"}, Options: []string{"--live"}},
		Phases: []control.PhaseStart{{Phase: "connect", At: 0}, {Phase: "begin", At: 100}, {Phase: "memory", At: 1000}, {Phase: "finish", At: 9000}, {Phase: "confirm", At: 9500}, {Phase: "done", At: 9900}},
		Passes: []control.PassStart{{Pass: 1, At: 1000, Remaining: 1 << 30}, {Pass: 3, At: 7000, Remaining: 1 << 20, DirtyRate: 5}},
		Notes:  []control.Note{{At: 2000, Kind: control.NoteLimit, Text: "limits.session_bandwidth"}},
	}
}

func times(s *tracepb.Span) string {
	began := time.Unix(1_800_000_000, 0)
	ms := func(ns uint64) int64 { return time.Unix(0, int64(ns)).Sub(began).Milliseconds() }
	return fmt.Sprintf("%s %d-%d", s.Name, ms(s.StartTimeUnixNano), ms(s.EndTimeUnixNano))
}

func value(all []*common.KeyValue, key string) *common.AnyValue {
	for _, a := range all {
		if a.Key == key {
			return a.Value
		}
	}
	return nil
}

// Both hosts' spans of a session are one tree, of the session's ID, with the times that history has.
func TestSpans(t *testing.T) {
	c := new(telemetrytest.Collector)
	server := httptest.NewServer(c)
	defer server.Close()
	tr := start(t, server.URL, io.Discard)
	tr.Ended(record(control.Outgoing))
	failed := record(control.Incoming)
	failed.Outcome, failed.Code, failed.Cause, failed.Downtime = control.Failed, "link", "the link broke", 0
	tr.Ended(failed)
	tr.Close()

	below := make(map[string][]*tracepb.Span) // by the parent's ID
	for _, s := range c.Spans() {
		if hex.EncodeToString(s.TraceId) != session {
			t.Errorf("%s is of trace %x", s.Name, s.TraceId)
		}
		below[string(s.ParentSpanId)] = append(below[string(s.ParentSpanId)], s)
	}
	names := func(parent *tracepb.Span) (all []string) {
		for _, s := range below[string(parent.SpanId)] {
			all = append(all, times(s))
		}
		slices.Sort(all)
		return all
	}
	if len(below[""]) != 1 {
		t.Fatalf("there are %d spans above all: %v", len(below[""]), below[""])
	}
	out := below[""][0]
	if got, want := strings.Join(names(out), ", "), "begin 100-1000, confirm 9500-9900, connect 0-100, finish 9000-9500, memory 1000-9000, migration 0-10000, switch-over 9380-9500"; got != want {
		t.Errorf("below the source's are %s\nwant %s", got, want)
	}
	for _, s := range below[string(out.SpanId)] {
		switch s.Name {
		case "memory":
			if got, want := strings.Join(names(s), ", "), "pass 1 1000-7000, pass 3 7000-9000"; got != want {
				t.Errorf("below memory are %s, want %s", got, want)
			}
		case "migration":
			if s.Kind != tracepb.Span_SPAN_KIND_SERVER || s.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || s.Status.Message != "the link broke" {
				t.Errorf("the destination's is %v", s)
			}
			if got := names(s); !slices.Contains(got, "switch-over 9000-9500") {
				t.Errorf("below the destination's are %v", got)
			}
		}
	}
	if out.Kind != tracepb.Span_SPAN_KIND_CLIENT || out.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET || len(out.Events) != 1 || out.Events[0].Name != "limits.session_bandwidth" {
		t.Errorf("the source's is %v", out)
	}
	for key, want := range map[string]string{"sluice.session": session, "sluice.guest": "web1", "sluice.peer": "host-b", "sluice.outcome": "moved", "sluice.asked": "ops"} {
		if got := value(out.Attributes, key).GetStringValue(); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if value(out.Attributes, "sluice.sent").GetIntValue() != 1<<30 || value(out.Attributes, "sluice.downtime_seconds").GetDoubleValue() != 0.12 {
		t.Errorf("attributes %v", out.Attributes)
	}
	who := c.Resources()[0].Attributes
	for key, want := range map[string]string{"service.name": "sluice", "service.version": "1.2.3", "host.name": "host-a"} {
		if got := value(who, key).GetStringValue(); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// Any ID makes a trace of its own, at both hosts the same.
func TestFirstSpan(t *testing.T) {
	seen := make(map[string]bool)
	for _, id := range []string{session, "", "x", strings.Repeat("0", 31), strings.Repeat("0", 32), strings.Repeat("f", 64), "0123456789ABCDEF0123456789ABCDE0"} {
		out, in := firstSpan(id, control.Outgoing), firstSpan(id, control.Incoming)
		if !out.IsValid() || out.TraceID() != in.TraceID() || out.SpanID() == in.SpanID() || seen[out.TraceID().String()] {
			t.Errorf("%q: %v, %v", id, out, in)
		}
		seen[out.TraceID().String()] = true
	}
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for late := time.After(30 * time.Second); !done(); {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-late:
			t.Fatalf("not within 30 seconds: %s", what)
		}
	}
}

// A collector that refuses is told of once, and once when it takes traces again.
func TestRefused(t *testing.T) {
	t.Parallel()
	c := new(telemetrytest.Collector)
	c.Fail(http.StatusForbidden)
	server := httptest.NewServer(c)
	defer server.Close()
	log := new(lines)
	tr := start(t, server.URL, log)
	defer tr.Close()
	const lost, again = "traces can't be sent", "traces are sent again"
	for range 3 {
		tr.Ended(record(control.Outgoing))
		tr.provider.ForceFlush(t.Context())
	}
	if n := strings.Count(log.String(), lost); n != 1 || !strings.Contains(log.String(), `"otlp":"`+server.URL) || !strings.Contains(log.String(), "403") {
		t.Errorf("it is told of %d times: %s", n, log)
	}
	c.Fail(0)
	tr.Ended(record(control.Outgoing))
	eventually(t, "the collector takes traces", func() bool { return len(c.Spans()) > 0 })
	eventually(t, "that is told", func() bool { return strings.Contains(log.String(), again) })
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("the log has %d lines: %s", n, log)
	}
}

// A collector that takes connections and never answers holds up nothing, and what waits for it is
// bounded.
func TestDeaf(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	log := new(lines)
	tr := start(t, "http://"+l.Addr().String(), log)
	const sessions = 1000 // some three times what may wait
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range sessions {
			tr.Ended(record(control.Outgoing))
		}
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the end of a session waits for the collector")
	}
	begun := time.Now()
	tr.Close()
	if took := time.Since(begun); took > closeTimeout+20*time.Second {
		t.Errorf("the daemon's end waits %v for the collector", took)
	}
	select {
	case <-tr.out.closed:
	default:
		t.Error("traces are sent after the end")
	}
}

// What a peer has chosen keeps no other session's trace from being sent.
func TestHostileRecord(t *testing.T) {
	c := new(telemetrytest.Collector)
	server := httptest.NewServer(c)
	defer server.Close()
	var log bytes.Buffer
	tr := start(t, server.URL, &log)
	hostile := record(control.Incoming)
	hostile.ID, hostile.Guest, hostile.Cause, hostile.Outcome = strings.Repeat("0", 32), "web\xff1", "\xfe", control.Failed
	hostile.Options, hostile.Notes[0].Text, hostile.Asked.User = []string{"--\xff"}, "\xff", "\xff"
	tr.Ended(hostile)
	tr.Ended(record(control.Outgoing))
	tr.Close()
	sent := make(map[string]bool)
	for _, s := range c.Spans() {
		sent[value(s.Attributes, "sluice.session").GetStringValue()] = true
	}
	if !sent[session] || !sent[hostile.ID] {
		t.Errorf("sent are %v\n%s", sent, log.String())
	}
}
