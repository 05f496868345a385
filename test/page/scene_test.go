// Package page tries the daemon's page in a browser, with everything on it that there can be.
package page

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/web"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Names that are markup, or would break out of what they stand in, and one that is long.
const (
	hostileGuest = `<img src=x onerror="window.broken=1"><script>window.broken=1</script>`
	hostilePeer  = `"></td><script>window.broken=1</script>`
	longGuest    = "customer-4711-database-primary-with-a-very-long-name.tenants.cloud.example.org"
)

// token cancels.
const token = "the token"

// scene is a daemon with something of everything to see.
type scene struct {
	*httptest.Server
	page *web.Page

	mu        sync.Mutex
	live      []control.SessionRecord
	ended     []control.SessionRecord
	cancelled []string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := new(scene)
	now := time.Now()
	for i := range 12 {
		s.ended = append(s.ended, endedSession(i, now.Add(-time.Duration(i)*3*time.Hour)))
	}
	s.live = []control.SessionRecord{liveSession("a1", "web1", 10), liveSession("b2", hostileGuest, 40)}
	s.live[1].Progress.Stalled = "no progress over the last 4 passes: the guest changes 1.2 GiB/s of its memory, and 980 MiB/s get through"
	requests := &control.Handler{
		History: func(_ context.Context, q *control.HistoryQuery) (*control.History, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			h := &control.History{Host: "host-a", Sessions: []control.SessionRecord{}}
			for _, r := range s.ended {
				if q.Wants(&r.SessionStatus) {
					h.Sessions = append(h.Sessions, r)
				}
			}
			return h, nil
		},
		Session: func(_ context.Context, name string) (*control.SessionRecord, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, r := range append(s.live, s.ended...) {
				if r.ID == name {
					r.Samples = new(control.Samples)
					for i := range int64(20) {
						r.Samples.At = append(r.Samples.At, i*400)
						r.Samples.Rate = append(r.Samples.Rate, uint64(300+i*i%40*15)<<20)
						r.Samples.DirtyRate = append(r.Samples.DirtyRate, uint64(100+i%7*9)<<20)
						r.Samples.Remaining = append(r.Samples.Remaining, uint64(20-i)<<28)
					}
					return &r, nil
				}
			}
			return nil, &control.Error{Code: 404, Message: "no such session"}
		},
		Cancel: func(_ context.Context, r *control.CancelRequest) (*control.CancelReply, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.cancelled = append(s.cancelled, r.Guest)
			s.finish(control.Cancelled, "cancelled on host-a")
			return &control.CancelReply{Guest: "web1", Outcome: control.Cancelled}, nil
		},
	}
	s.page = web.New(web.Options{
		Live: func() ([]control.SessionRecord, []control.SessionStatus) {
			s.mu.Lock()
			defer s.mu.Unlock()
			var ended []control.SessionStatus
			for _, r := range s.ended {
				ended = append(ended, r.SessionStatus)
			}
			return append([]control.SessionRecord(nil), s.live...), ended
		},
		Status:  func() *control.Status { return statusOf(now) },
		Check:   checked,
		Control: requests,
		Who:     func(*http.Request) string { return "uid 0" },
		Denied:  func(*http.Request) error { return nil }, Host: func(string) error { return nil }, Tell: func(*http.Request, error) {},
		Token: func() (string, error) { return token, nil }, TokenFile: "/run/sluice/web.token",
	})
	s.Server = httptest.NewServer(s.page)
	t.Cleanup(func() {
		s.page.Close()
		s.Server.Close()
	})
	return s
}

// finish ends the first session under way; mu is held.
func (s *scene) finish(outcome, cause string) {
	r := s.live[0]
	s.live = s.live[1:]
	r.Outcome, r.Cause, r.Ended, r.Progress, r.Downtime = outcome, cause, time.Now(), nil, 47*time.Millisecond
	s.ended = append([]control.SessionRecord{r}, s.ended...)
}

// set changes how far the first session under way is.
func (s *scene) set(percent float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = append([]control.SessionRecord{liveSession(s.live[0].ID, s.live[0].Guest, percent)}, s.live[1:]...)
}

func liveSession(id, guest string, percent float64) control.SessionRecord {
	const total = 8 << 30
	uid, done := uint32(1000), uint64(percent*total/100)
	return control.SessionRecord{
		SessionStatus: control.SessionStatus{
			ID: id, Kind: "migration", Direction: control.Outgoing, Guest: guest, UUID: "5f3cbb0e-1f3e-4c15-9a44-5f0d1e3a2b10", Peer: hostilePeer, Address: "192.0.2.17:16514",
			Phase: control.PhaseMemory, Started: time.Now().Add(-10 * time.Second), Sent: done, Received: 12 << 10, Rate: 900 << 20,
			Progress: &control.Progress{Phase: control.PhaseMemory, Elapsed: time.Duration(10+percent) * time.Second, Percent: percent, Total: total, Processed: done, Remaining: total - done,
				DirtyRate: 120 << 20, Iteration: 3, Throttle: 20, Carried: done, Rate: 900 << 20, Channels: 2, ETA: 9 * time.Second},
			TLS: "TLS1.3", Suite: "TLS_AES_128_GCM_SHA256", Group: "X25519-MLKEM768", Path: "records", Memory: "sluice", Asked: &control.Asker{UID: &uid, User: "nova", PID: 4711},
			Channels: []control.ChannelStatus{{Name: "memory-0", Kind: "memory", Path: "records", TLS: "TLS1.3", Suite: "TLS_AES_128_GCM_SHA256", Sent: done, Open: true}},
		},
		Phases: []control.PhaseStart{{Phase: "connect"}, {Phase: "begin", At: 20}, {Phase: "prepare", At: 55}, {Phase: "memory", At: 700}},
		Passes: []control.PassStart{{Pass: 1, At: 700, Remaining: total}, {Pass: 2, At: 9200, Remaining: 1 << 30, DirtyRate: 120 << 20}},
		Notes:  []control.Note{{At: 60, Kind: control.NoteDecision, Text: "2 connections carry the memory"}, {At: 800, Kind: control.NoteLimit, Text: "limits.session_bandwidth: 1000 MiB/s"}},
	}
}

func endedSession(i int, at time.Time) control.SessionRecord {
	r := liveSession(fmt.Sprintf("e%d", i), []string{"web1", "mail", longGuest, hostileGuest}[i%4], 100)
	r.Direction, r.Progress, r.Outcome, r.Ended, r.Downtime = []string{control.Outgoing, control.Incoming}[i%2], nil, control.Moved, at, time.Duration(31+i)*time.Millisecond
	r.Started, r.Phase = at.Add(-time.Duration(12+40*i)*time.Second), control.PhaseDone
	switch i % 5 {
	case 2:
		r.Outcome, r.Code, r.Downtime = control.Failed, "link", 0
		r.Cause = "host-b: nothing has arrived on the control channel for 30s (limits.idle_timeout): the link is down, or the host is. The guest runs on at its source."
	case 3:
		r.Outcome, r.Downtime, r.Cause = control.Cancelled, 0, "cancelled on host-a"
	}
	return r
}

func statusOf(now time.Time) *control.Status {
	const day = 24 * time.Hour
	return &control.Status{
		Name: "kvm-03.rack1.example.org", Version: "1.0.0", Started: now, Listen: "[::]:16514", Libvirt: "/run/libvirt/libvirt-sock", Priority: "@LIBVIRT,SYSTEM", AES: "VAES and AVX-512",
		Confinement:   &control.Confinement{Capabilities: []string{"cap_kill"}, Landlock: 4},
		Configuration: control.ConfigurationStatus{Files: []string{"/etc/sluice/sluice.toml"}, Loaded: now, Restart: []string{"name"}},
		Certificates: control.CertificateStatus{Why: "/etc/pki/libvirt exists (layout libvirt)", Expiry: []control.Expiry{
			{What: "server", Subject: "CN=kvm-03.rack1.example.org,O=Example", NotAfter: now.Add(200 * day)},
			{What: "client", Subject: "CN=kvm-03.rack1.example.org,O=Example", NotAfter: now.Add(20 * day), Warn: true},
			{What: "ca", Subject: "CN=Example KVM CA", NotAfter: now.Add(2000 * day)}}},
		Peers:   []control.PeerStatus{{Name: "host-b", Address: "192.0.2.2:16514", Names: []string{"host-b.example.org"}, Socket: "/run/sluice/peers/host-b/libvirt.sock"}, {Name: hostilePeer, Address: "[2001:db8:4711:17::1234]:16514"}, {Name: "old-host", Address: "192.0.2.9:16514"}},
		History: control.HistoryStatus{File: "/var/lib/sluice/history.db"},
		Leaving: []control.DepartureStatus{{Guest: hostileGuest, Peer: "host-b", Overdue: true, Last: "connection refused"}},
	}
}

func checked(_ context.Context, r *control.CheckRequest) (*control.Report, error) {
	if !r.All {
		return &control.Report{Host: "host-a", Time: time.Now(), Warnings: 1, Findings: []control.Finding{
			{Check: "certificates", Result: control.ResultOK, Text: "from /etc/pki/libvirt: good until 2027-06-18"},
			{Check: "limits", Result: control.ResultWarning, Code: "files", Text: "the daemon may open 1024 files", Remedy: "set LimitNOFILE=65536 in the unit"}}}, nil
	}
	offers := &control.Offers{Sluice: "1.0.0", QEMU: "7.2.15", Paths: []string{"ktls", "records"}, TLS: "yes", Priority: "NORMAL", Interception: "off", Access: "migrate", WithoutSluice: "no", NativeTLS: control.NativeTLS{Ready: true}}
	return &control.Report{Host: "host-a", Time: time.Now(), Errors: 1,
		Peers: []control.PeerView{
			{Name: "host-b", Found: control.PeerSluice, Way: control.WaySluice, Libvirt: "9.0.0", Offers: offers},
			{Name: hostilePeer, Found: control.PeerLibvirt, Way: "native-tls", Libvirt: "11.3.0", Text: "no sluice there; guests go by QEMU's own TLS"},
			{Name: "old-host", Found: control.PeerNothing, Way: control.WayNone, Text: "connection refused"}},
		Findings: []control.Finding{{Peer: "old-host", Check: "connect", Result: control.ResultError, Code: "refused", Text: "nothing listens at 192.0.2.9:16514: connection refused", Remedy: "start sluice there, or look at `address`"}}}, nil
}
