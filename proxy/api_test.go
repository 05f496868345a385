package proxy

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/openapi"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// A daemon's answers are those that docs/openapi.yaml describes: with nothing in it, and with
// sessions under way and ended.
func TestAnswersAsDescribed(t *testing.T) {
	t.Parallel()
	h, top := newHistorian(t)
	h.start(top, hosttest.PeerA+"\n[[tunnel]]\nname = 'disks'\nlisten = 'tcp:127.0.0.1:0'\nto = 'tcp:127.0.0.1:9'\ntls = 'no'\n")
	c := openapi.New(t, h.Path("run/control.sock"), nil)
	expect := func(want int, method, path, name, query string, body any) {
		t.Helper()
		if got := c.Ask(method, path, name, query, body, nil); got != want {
			t.Errorf("%s %s: %d, want %d", method, path, got, want)
		}
	}
	look := func() {
		t.Helper()
		expect(200, "GET", "/v1/status", "", "", nil)
		expect(200, "GET", "/v1/history", "", "", nil)
		expect(200, "GET", "/v1/history", "", "guest=web&failed=true&since=2026-01-31T12:00:00Z&limit=3", nil)
		expect(400, "GET", "/v1/history", "", "guests=web", nil)
		expect(200, "POST", "/v1/check", "", "", &control.CheckRequest{All: true})
	}
	look()
	expect(500, "GET", "/v1/guests", "", "", nil)
	expect(404, "GET", "/v1/sessions/{name}", "nobody", "", nil)
	expect(404, "GET", "/v1/sessions/{name}/events", "nobody", "", nil)
	expect(409, "POST", "/v1/cancel", "", "", &control.CancelRequest{Guest: "nobody"})
	expect(409, "POST", "/v1/resolve", "", "", &control.ResolveRequest{Guest: "nobody", Runs: control.Here})
	expect(500, "POST", "/v1/migrate", "", "", &control.MigrateRequest{Guest: "web", Peer: "host-a"})
	expect(400, "POST", "/v1/migrate", "", "", &control.MigrateRequest{Guest: "web", Peer: "no-peer"})
	expect(500, "POST", "/v1/plan", "", "", &control.MigrateRequest{Guest: "web", Peer: "host-a"})

	web, db := h.carries(id1, "web", control.Outgoing), h.carries(id2, "db", control.Incoming)
	web.SetPhase(control.PhaseMemory)
	web.SetStats(virt.JobStats{Total: 1000, Remaining: 250, Iteration: 1, DirtyRate: 10})
	uid := uint32(1000)
	web.AskedBy(&control.Asker{UID: &uid, User: "ops", PID: 4242}, []string{"--persistent"})
	db.AskedBy(&control.Asker{Certificate: "host-a"}, nil)
	look()
	first := make(chan struct{})
	followed := make(chan int, 1)
	go func() {
		followed <- c.Ask("GET", "/v1/sessions/{name}/events", "web", "", nil, func(json.RawMessage) {
			select {
			case <-first:
			default:
				close(first)
			}
		})
	}()
	<-first
	web.Decided("to go on")
	web.MadeDisks([]string{"/var/lib/libvirt/images/web.qcow2"})
	h.Sessions.End(web, control.Failed, stream.CodeLink, "the link broke")
	h.Sessions.End(db, control.Moved, stream.CodeDone, "")
	if got := <-followed; got != http.StatusOK {
		t.Errorf("following: %d", got)
	}
	look()
	expect(200, "GET", "/v1/sessions/{name}", "web", "", nil)
	expect(200, "GET", "/v1/sessions/{name}/events", id2[:8], "", nil)
	expect(200, "POST", "/v1/reload", "", "", struct{}{})
	if left := c.Unasked(); len(left) > 0 {
		t.Errorf("docs/openapi.yaml has requests that this test does not make: %v", left)
	}
}
