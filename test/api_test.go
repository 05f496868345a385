package test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/openapi"
	"github.com/virt-sluice/sluice/internal/telemetry/telemetrytest"
	"github.com/virt-sluice/sluice/proxy/control"
)

// An apiRun is a program of the documents' under way.
type apiRun struct {
	s         *site
	cmd       *lab.Cmd
	out, errs bytes.Buffer
	done      chan struct{}
}

func (s *site) runs(h *lab.Host, name string, args ...string) *apiRun {
	s.t.Helper()
	r := &apiRun{s: s, cmd: h.Command(s.ctx, name, args...), done: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errs
	s.check(r.cmd.Start())
	go func() {
		r.cmd.Wait()
		close(r.done)
	}()
	return r
}

// ends waits for its end, which must have a status and say these words.
func (r *apiRun) ends(status int, words ...string) {
	r.s.t.Helper()
	r.s.wait("the end of "+strings.Join(r.cmd.Args, " "), 90*time.Second, func() bool {
		select {
		case <-r.done:
			return true
		default:
			return false
		}
	})
	said := r.out.String() + r.errs.String()
	if got := r.cmd.ProcessState.ExitCode(); got != status {
		r.s.t.Fatalf("%s: status %d, want %d: %s", r.cmd.Args, got, status, said)
	}
	says(r.s.t, strings.Join(r.cmd.Args, " "), said, words...)
}

// outsideModule builds the example of package control as the program of a module that only requires
// sluice's.
func outsideModule(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../proxy/control/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":     fmt.Sprintf("module example.org/outside\n\ngo 1.26.0\n\nrequire github.com/virt-sluice/sluice v0.0.0\n\nreplace github.com/virt-sluice/sluice => %s\n", root),
		"example.go": strings.Replace(string(example), "package control_test", "package main", 1),
		"main.go":    "package main\n\nfunc main() { ExampleClient_Migrate() }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("go", "build", "-mod=mod", "-o", "outside", ".")
	c.Dir, c.Env = dir, append(os.Environ(), "GOWORK=off", "GOPROXY=off", "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("a module outside of sluice's can't use package control: %v\n%s", err, out)
	}
	return filepath.Join(dir, "outside")
}

// The programs of docs/api.md migrate, follow each other's and virsh's migrations at both hosts, and
// cancel, and what the daemons answer meanwhile is what docs/openapi.yaml says. A collector gets traces
// of both hosts.
func TestAPI(t *testing.T) {
	t.Parallel()
	needs.Program(t, "/usr/bin/python3")
	outside := outsideModule(t)
	script, err := filepath.Abs("../docs/examples/migrate.py")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	traces := new(telemetrytest.Collector)
	for _, h := range s.Hosts() {
		l, err := h.Listen(s.ctx, "tcp", "127.0.0.1:4318")
		s.check(err)
		server := &http.Server{Handler: traces}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
	}
	a, b := s.both(conf{limits: "session_bandwidth = 8", top: "telemetry.otlp = \"http://127.0.0.1:4318\"\n"})
	g := s.guest(lab.GuestSpec{Name: "web1"})
	python := func(h *lab.Host, args ...string) *apiRun {
		return s.runs(h, "/usr/bin/python3", append([]string{script}, args...)...)
	}
	flows := func(d *daemon) (id string) {
		t.Helper()
		s.wait("memory flows through "+d.host.Name, time.Minute, func() bool {
			e := d.guestSession(g)
			if e == nil || e.Sent+e.Received < 2<<20 {
				return false
			}
			id = e.ID
			return true
		})
		return id
	}
	answers := func(d *daemon) {
		t.Helper()
		c := openapi.New(t, d.host.Path(control.DefaultSocket), nil)
		for _, path := range []string{"/v1/status", "/v1/guests", "/v1/history", "/v1/sessions/{name}"} {
			if code := c.Ask("GET", path, g.Name, "", nil, nil); code != http.StatusOK {
				t.Errorf("GET %s on %s: %d", path, d.host.Name, code)
			}
		}
		if code := c.Ask("POST", "/v1/check", "", "", &control.CheckRequest{All: true}, nil); code != http.StatusOK {
			t.Errorf("POST /v1/check on %s: %d", d.host.Name, code)
		}
	}

	m := s.runs(s.A, outside)
	flows(b)
	f := python(s.B, "follow", g.UUID)
	answers(a)
	answers(b)
	m.ends(0, "memory", "web1 runs on host-b; it was paused for")
	f.ends(0, "memory", "moved")
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))

	v := b.virshStart(g, "--p2p")
	followers := []*apiRun{python(s.B, "follow", flows(b)), python(s.A, "follow", g.Name)}
	answers(b)
	v.moves()
	for _, f := range followers {
		f.ends(0, "memory", "moved")
	}
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))

	m = python(s.A, "migrate", g.Name, "host-b", "auto_converge=true")
	flows(b)
	s.check(m.cmd.Process.Signal(syscall.SIGINT))
	m.ends(3, "web1", "host-a")
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))

	var last control.Event
	c := openapi.New(t, s.A.Path(control.DefaultSocket), nil)
	if code := c.Ask("POST", "/v1/plan", "", "", &control.MigrateRequest{Guest: g.Name, Peer: "host-b"}, nil); code != http.StatusOK {
		t.Errorf("POST /v1/plan: %d", code)
	}
	code := c.Ask("POST", "/v1/migrate", "", "", &control.MigrateRequest{Guest: g.Name, Peer: "host-b"},
		func(line json.RawMessage) { s.check(json.Unmarshal(line, &last)) })
	if code != http.StatusOK || last.Result == nil || last.Result.Outcome != control.Moved {
		t.Errorf("POST /v1/migrate: %d, %+v", code, last.Result)
	}
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	answers(a)
	answers(b)
	out, errs, status := s.run(s.B, "/usr/bin/python3", script, "list")
	if status != 0 {
		t.Errorf("migrate.py list: status %d: %s", status, errs)
	}
	says(t, "migrate.py list", out, g.UUID, "web1 runs")
	if out, errs, status = s.run(s.B, "/usr/bin/python3", script, "migrate", "web1", "host-b", "warp=9"); status != 2 {
		t.Errorf("migrate.py with an option that there is not: status %d: %s%s", status, out, errs)
	}
	says(t, "migrate.py", errs, "warp")
	a.ended()
	b.ended()
	s.onlyOn(g, s.B)
	s.traced(traces, a.history(g)[0].ID)
}

// traced waits for the trace of a session that moved a guest, which has the spans of both hosts.
func (s *site) traced(c *telemetrytest.Collector, session string) {
	s.t.Helper()
	var got map[string]int
	s.wait("the trace of session "+session, time.Minute, func() bool {
		got = make(map[string]int)
		for _, span := range c.Spans() {
			if hex.EncodeToString(span.TraceId) == session {
				got[span.Name]++
			}
		}
		return got["migration"] == 2
	})
	for name, n := range map[string]int{"connect": 2, "begin": 1, "prepare": 2, "memory": 2, "pass 1": 2, "finish": 2, "switch-over": 2, "confirm": 1} {
		if got[name] != n {
			s.t.Errorf("the trace of session %s has %d spans %q, want %d: %v", session, got[name], name, n, got)
		}
	}
}
