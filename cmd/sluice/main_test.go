package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream/ktls"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sluice": main, "standin": standin})
}

// TestScripts runs testdata/*.txtar with the real sluice, against a stand-in
// of the daemon where one is needed.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": wantStatus,
			"await":  await,
		},
		Condition: func(cond string) (bool, error) {
			if cond != "ktls" {
				return false, fmt.Errorf("no condition %q", cond)
			}
			return ktls.Available() == nil, nil
		},
		RequireExplicitExec: true,
	})
}

// wantStatus runs a command and wants one exit status: status N COMMAND...
func wantStatus(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit interface{ ExitCode() int }
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("%q: exit status %d, want %s", args[1:], code, args[0])
	}
}

// await waits until a file is there: await FILE
func await(ts *testscript.TestScript, _ bool, args []string) {
	if !appears(ts.MkAbs(args[0])) {
		ts.Fatalf("%s does not appear", args[0])
	}
}

// standin speaks the daemon's side of the protocol for scripts: standin SOCKET [SCENARIO].
// What a migration does is told by its guest's name. It ends at SIGTERM or SIGINT.
func standin() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err) // a program of its own, which ends here
	}
	h := &control.Handler{Status: standinStatus, Guests: standinGuests, Check: standinCheck, Plan: standinPlan, Cancel: standinCancel, Migrate: standinMigrate, History: standinHistory, Session: standinSession}
	switch {
	case len(os.Args) > 2 && os.Args[2] == "house":
		h.Status, h.Guests, h.Check, h.Migrate = houseStatus, houseGuests, houseCheck, houseMigrate
	case len(os.Args) > 2:
		h.Status = scenarios[os.Args[2]]
	}
	srv := &http.Server{Handler: h}
	go func() {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		<-ctx.Done()
		srv.Close()
	}()
	srv.Serve(l)
}

func standinGuests(context.Context) (*control.Guests, error) {
	return &control.Guests{Guests: []control.Guest{{Name: "web1", Active: true}, {Name: "db 1", Active: true}, {Name: "db\x1b[2J", Active: true}, {Name: "drafts"}}}, nil
}

func standinPlan(_ context.Context, req *control.PlanRequest) (*control.Plan, error) {
	if req.Peer != "host-b" {
		return nil, control.WrongUse("no peer %q is configured on host-a; there is host-b", req.Peer)
	}
	p := &control.Plan{Guest: req.Guest, Source: "host-a", Destination: req.Peer, Possible: true, Findings: []control.Finding{
		{Check: "libvirt", Result: control.ResultOK, Text: "it would begin"},
		{Peer: "host-b", Check: "memory", Result: control.ResultUnknown, Code: "unknown", Text: "how much memory\nis \x1b[31mfree"},
	}, Unknown: 1}
	p.Estimate = &control.Estimate{Memory: 4 << 30, Disks: 1 << 30, HotMemory: 300 << 20, DirtyRate: 500 << 20, LinkRate: 100 << 20}
	outlook := control.Outlook{Converges: true, Passes: 3, Total: 53_456_789_012, Downtime: 297_654_321}
	switch req.Guest {
	case "busy":
		p.Estimate.Outlook = &control.Outlook{Remaining: 280 << 20}
		p.Estimate.Means = []control.Means{{Option: "--postcopy", Outlook: outlook}}
	case "web1":
		p.Estimate.Outlook = &outlook
	}
	if req.Auto == control.Yes && p.Estimate.Outlook != nil {
		p.Estimate.Goal = &control.PlannedGoal{MaxDowntime: 300 * time.Millisecond, Deadline: time.Minute, Allow: []string{control.AllowSlow}, Ends: control.EndsItself}
		if !p.Estimate.Outlook.Converges {
			p.Estimate.Goal.Ends = control.EndsDeadline
		}
	}
	if req.Guest == "slow" {
		time.Sleep(time.Second) // long enough to type
	}
	if req.Guest == "large" {
		p.Estimate = nil
		p.Findings = append(p.Findings, control.Finding{Peer: "host-b", Check: "disks", Result: control.ResultError, Code: "missing", Text: "host-b lacks vda", Remedy: "make it"})
		p.Possible, p.Errors = false, 1
	}
	return p, nil
}

func standinMigrate(ctx context.Context, req *control.MigrateRequest, report func(control.Progress)) (*control.Result, error) {
	if req.Peer != "host-b" {
		return nil, control.WrongUse("no peer %q is configured on host-a; there is host-b", req.Peer)
	}
	r := &control.Result{Guest: req.Guest, Source: "host-a", Destination: req.Peer, Session: "s-1", Elapsed: 1234567890}
	p := control.Progress{Phase: control.PhaseConnect}
	report(p)
	p = control.Progress{Phase: control.PhaseMemory, Percent: 42.3, Total: 4 << 30, Processed: 1700 << 20, Remaining: 2396 << 20,
		DirtyRate: 12 << 20, Carried: 1 << 30, Rate: 812 << 20, Channels: 2, ETA: 3 * time.Second, Iteration: 2}
	report(p)
	switch req.Guest {
	case "moves":
		if req.Bandwidth > 0 { // it lasts, so that a bar has something to show
			for p.Percent = 0; p.Percent < 100; p.Percent += 10 {
				report(p)
				time.Sleep(60 * time.Millisecond) // as long as the scenario says, here and below
			}
		}
		r.Outcome, r.Message = control.Moved, "moves runs on host-b"
		r.Carried, r.Channels, r.Downtime = 1<<30, 2, 84*time.Millisecond
		r.TLS, r.Suite, r.Path = "TLS1.3", "TLS_AES_128_GCM_SHA256", "crypto/tls"
	case "fails":
		r.Outcome, r.Message, r.Cause = control.Failed, "fails goes on at host-a", "memory-0: host-b: \x1b[31mno space"
	case "waits":
		<-ctx.Done()
		r.Outcome, r.Message = control.Cancelled, "waits goes on at host-a"
	case "lingers": // longer than two who are impatient
		<-ctx.Done()
		time.Sleep(4 * time.Second) // as long as its name says, as below
		r.Outcome, r.Message = control.Cancelled, "lingers goes on at host-a"
	case "unwinds": // takes its time
		<-ctx.Done()
		time.Sleep(500 * time.Millisecond) // as below
		r.Outcome, r.Message = control.Cancelled, "unwinds goes on at host-a"
	case "hangs": // deaf to its caller, however long that waits
		time.Sleep(time.Minute) // longer than anybody waits
	case "lost":
		r.Outcome, r.Message = control.Unknown, "lost is paused at host-b"
	case "crash":
		os.Exit(1)
	case "options":
		asked, err := json.Marshal(req)
		if err != nil {
			return nil, err
		}
		r.Outcome, r.Message = control.Moved, string(asked)
	}
	return r, nil
}

// standinCheck finds an error at host-b, a warning at host-c, and nothing here.
func standinCheck(_ context.Context, req *control.CheckRequest) (*control.Report, error) {
	r := &control.Report{Host: "host-a", Version: "v0", By: control.ByDaemon}
	if req.All {
		req.Peers = []string{"host-b", "host-c"}
		r.Patterns = []string{"*.example.org"}
		r.Peers = []control.PeerView{
			{Name: "host-b", Found: "sluice", Way: control.WaySluice, Libvirt: "9.0.0", WithoutSluice: "no", Offers: &control.Offers{
				Sluice: "v0", QEMU: "7.2.15", Paths: []string{"records", "crypto/tls"}, Priority: "@LIBVIRT,SYSTEM", TLS: "yes", Interception: "none", WithoutSluice: "no"}},
			{Name: "host-c.example.org", Found: "nothing", Way: "none", WithoutSluice: "native-tls",
				Text: "connect to host-c.example.org:16514: connection refused; qemu+tls://host-c.example.org/system does not answer either: is libvirtd's TLS port open?"},
		}
	}
	for _, peer := range req.Peers {
		r.Findings = append(r.Findings, control.Finding{Peer: peer, Check: "connect", Result: "ok", Text: "192.0.2.2:16514 answers"})
		switch peer {
		case "host-b":
			r.Errors++
			r.Findings = append(r.Findings, control.Finding{Peer: peer, Check: "TLS", Result: "error", Code: "wrong-ca", Side: "here", Text: "this host refused\nthe \x1b[31mpeer", Remedy: "mend it"})
		case "host-c":
			r.Warnings++
			r.Findings = append(r.Findings, control.Finding{Peer: peer, Check: "clock", Result: "warning", Code: "clock", Text: "the clocks are 1m30s apart"})
		default:
			return nil, control.WrongUse("no peer %q is configured", peer)
		}
	}
	if len(req.Peers) == 0 {
		r.Findings = []control.Finding{{Check: "certificates", Result: "ok", Text: "in use"}}
	}
	return r, nil
}

var standinBegan = time.Now()

func standinStatus() *control.Status {
	now := time.Now()
	return &control.Status{
		Name: "host-a", Version: "v0", Started: standinBegan.Add(-3 * time.Hour), Listen: "[::]:16514", Libvirt: "/run/libvirt/libvirt-sock",
		Certificates: control.CertificateStatus{
			Source: "libvirt", Why: "libvirt's layout in /etc/pki, the first that is searched", Loaded: now.Add(-2 * time.Hour),
			Expiry: []control.Expiry{
				{What: "server", Subject: "CN=host-a,O=CA", NotAfter: time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC), Seconds: 40 * 86400},
				{What: "ca", Subject: "CN=CA", NotAfter: time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC), Seconds: 90, Warn: true},
			},
			ReloadErrors: []control.ReloadError{{At: now.Add(-time.Minute), Error: "/etc/pki/libvirt/servercert.pem: cut\noff"}},
		},
		Priority: "@LIBVIRT,SYSTEM",
		AES:      "Go's: this processor lacks VAES",
		Peers:    []control.PeerStatus{{Name: "host-b", Address: "host-b:16514", Names: []string{"host-b", "spiffe://site/b"}, Priority: "SECURE256", Socket: "/run/sluice/peers/host-b/libvirt.sock"}},
		Tunnels: []control.TunnelStatus{{
			Name: "vnc", Listen: "tcp::5901", Address: "tcp:[::]:5901", To: "tcp:127.0.0.1:5900",
			TLSInEffect: control.Yes, TLSWhy: "this host's default", TLSSides: []string{"listen"}, Certificates: "as configured",
			Done: 3, Failed: 1, Sent: 2048, Received: 1 << 20,
			Connections: []control.TunnelConnection{{Number: 5, From: "192.0.2.7:4000 (DNS:ops)", Started: now.Add(-time.Minute), TLS: "TLS1.3", Path: "records", Sent: 1024}},
			Ended:       []control.TunnelConnection{{Number: 4, From: "192.0.2.7:3999", Ended: now.Add(-time.Second), Cause: "read from the client: no \x1b close_notify"}, {Number: 3, From: "x"}},
		}, {Name: "once", Listen: "exec:a", Address: "exec:a", To: "unix:/b", TLS: control.No, TLSInEffect: control.No, TLSWhy: `tls = "no"`, Over: true}},
		Sessions: []control.SessionStatus{{
			ID: "s-2", Kind: "migration", Direction: control.Outgoing, Guest: "web1", Peer: "host-b", Phase: control.PhaseMemory,
			Started: now.Add(-5 * time.Second), Sent: 3 << 30, Received: 1 << 20, Rate: 812 << 20, TLS: "TLS1.3", Suite: "TLS_AES_128_GCM_SHA256", Path: "crypto/tls",
			Memory: "sluice", Disks: "QEMU's own TLS",
			Channels: []control.ChannelStatus{{Name: "memory-0", Path: "crypto/tls", TLS: "TLS1.3", Sent: 3 << 30, Open: true}},
		}, {ID: "s-3", Kind: "libvirt", Direction: control.Outgoing, Peer: "host-b", Started: now}},
		Ended: []control.SessionStatus{{
			ID: "5d1f0c9e10ad6a8af243296899240004", Guest: "db1", Direction: control.Incoming, Peer: "host-b", Outcome: control.Failed, Started: now.Add(-time.Minute),
			Ended: now.Add(-30 * time.Second), Sent: 1024, Memory: "nothing", Cause: "host-b: disk-0:\nno \x1b[2Jspace left",
		}},
	}
}
