package proxy

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

const withMetrics = "metrics = '127.0.0.1:0'"

// exposition is what Prometheus would read.
func (h *testHost) exposition() []byte {
	h.T.Helper()
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://" + *h.metricsAddr.Load() + "/metrics")
	if err != nil {
		h.T.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		h.T.Fatalf("%s, %v:\n%s", r.Status, err, body)
	}
	return body
}

// scrape is each series with its value.
func (h *testHost) scrape() map[string]float64 {
	h.T.Helper()
	all := make(map[string]float64)
	for line := range strings.Lines(string(h.exposition())) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64)
		if err != nil {
			h.T.Fatalf("%q: %v", line, err)
		}
		all[line[:i]] = v
	}
	return all
}

// shows waits until the host shows the values.
func (h *testHost) shows(when string, want map[string]float64) {
	h.T.Helper()
	var got map[string]float64
	if hosttest.Within(20*time.Second, func() bool {
		got = h.scrape()
		same := true
		for series, v := range want {
			have, ok := got[series]
			same = same && ok && have == v
		}
		return same
	}) {
		return
	}
	for series, v := range want {
		have, ok := got[series]
		if !ok {
			h.T.Errorf("%s: %s has no %s", when, h.Name, series)
		} else if have != v {
			h.T.Errorf("%s: %s has %s %v, want %v", when, h.Name, series, have, v)
		}
	}
	h.T.FailNow()
}

// A call of echoes and its answer, in bytes.
const echoCall, echoReply = 28, 36

func TestMetricsOfSessions(t *testing.T) {
	a, b := pairOfHosts(t, hosttest.NewAuthority(t, "CA"))
	b.start(withMetrics, hosttest.PeerA)
	a.start(withMetrics, peerTable(b, ""))
	a.shows("at first", map[string]float64{
		`sluice_sessions{direction="out",work="libvirt"}`:                                0,
		`sluice_sessions_ended_total{direction="out",outcome="failed",work="migration"}`: 0,
		`sluice_session_failures_total{code="link",direction="in"}`:                      0,
		`sluice_sent_bytes_total{channel="memory"}`:                                      0,
		`sluice_build_info{goversion="` + runtime.Version() + `",version="test"}`:        1,
	})

	// The totals of live sessions go over into those of ended ones.
	const sessions, calls = 3, 5
	for n := 1; n <= sessions; n++ {
		c := a.echo("host-b")
		for range calls {
			echoes(t, c, "a call")
		}
		sent, received := float64(n*calls*echoCall), float64(n*calls*echoReply)
		a.shows("under way", map[string]float64{
			`sluice_sessions{direction="out",work="libvirt"}`: 1,
			`sluice_sent_bytes_total{channel="libvirt"}`:      sent,
			`sluice_received_bytes_total{channel="libvirt"}`:  received,
		})
		b.shows("under way", map[string]float64{`sluice_sessions{direction="in",work="libvirt"}`: 1})
		c.Close()
		a.shows("ended", map[string]float64{
			`sluice_sessions{direction="out",work="libvirt"}`:                            0,
			`sluice_sessions_ended_total{direction="out",outcome="done",work="libvirt"}`: float64(n),
			`sluice_sent_bytes_total{channel="libvirt"}`:                                 sent,
			`sluice_received_bytes_total{channel="libvirt"}`:                             received,
		})
		b.shows("ended", map[string]float64{
			`sluice_sessions{direction="in",work="libvirt"}`:                            0,
			`sluice_sessions_ended_total{direction="in",outcome="done",work="libvirt"}`: float64(n),
			`sluice_sent_bytes_total{channel="libvirt"}`:                                received,
			`sluice_received_bytes_total{channel="libvirt"}`:                            sent,
		})
	}

	// Nothing listens where b believes a to be.
	io.Copy(io.Discard, b.echo("host-a"))
	b.shows("failed", map[string]float64{
		`sluice_sessions_ended_total{direction="out",outcome="failed",work="libvirt"}`: 1,
		`sluice_session_failures_total{code="link",direction="out"}`:                   1,
	})
}

// No scrape sees fewer bytes than the one before it, whatever ends meanwhile.
func TestMetricsNeverFall(t *testing.T) {
	a, b := pairOfHosts(t, hosttest.NewAuthority(t, "CA"))
	b.start("", hosttest.PeerA)
	a.start(withMetrics, peerTable(b, ""))
	const sessions = 20
	const ended = `sluice_sessions_ended_total{direction="out",outcome="done",work="libvirt"}`
	var before map[string]float64
	for n := 1; n <= sessions; n++ {
		c := a.echo("host-b")
		echoes(t, c, "a call")
		c.Close()
		for before[ended] < float64(n) && !t.Failed() {
			now := a.scrape()
			for series, v := range before {
				if strings.Contains(series, "_total") && now[series] < v {
					t.Errorf("%s fell from %v to %v", series, v, now[series])
				}
			}
			before = now
		}
	}
	a.shows("at last", map[string]float64{
		ended: sessions,
		`sluice_sent_bytes_total{channel="libvirt"}`:     sessions * echoCall,
		`sluice_received_bytes_total{channel="libvirt"}`: sessions * echoReply,
	})
}

func TestMetricsOfCertificates(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	b := newTestHost(t, "host-b")
	b.Trust(ca)
	pair := b.Certify(ca, pki.Host{NotAfter: time.Now().Add(240 * time.Hour)})
	list, err := ca.CRL(pki.Revocation{Number: 1, NextUpdate: time.Now().Add(48 * time.Hour), Revoked: []*x509.Certificate{}})
	if err != nil {
		t.Fatal(err)
	}
	b.Put("crl.pem", list)
	b.start(withMetrics, "crl = '"+b.Path("crl.pem")+"'\n"+hosttest.PeerA)
	got := b.scrape()
	for series, want := range map[string]time.Duration{
		`sluice_certificate_not_after_timestamp_seconds{file="` + b.Path("cert.pem") + `",role="server",subject="` + pair.Cert.Subject.String() + `"}`: 240 * time.Hour,
		`sluice_crl_next_update_timestamp_seconds{file="` + b.Path("crl.pem") + `",issuer="CN=CA"}`:                                                    48 * time.Hour,
	} {
		at, ok := got[series]
		if left := at - float64(time.Now().Unix()); !ok || left > want.Seconds()+1 || left < want.Seconds()-60 {
			t.Errorf("%s %v, which is in %v seconds, want %v", series, at, left, want.Seconds())
		}
	}
	if series := `sluice_certificate_not_after_timestamp_seconds{file="` + b.Path("ca.pem") + `",role="ca",subject="CN=CA"}`; got[series] <= float64(time.Now().Unix()) {
		t.Errorf("%s %v", series, got[series])
	}
	good := map[string]float64{
		`sluice_last_reload_successful{part="certificates"}`:  1,
		`sluice_last_reload_successful{part="configuration"}`: 1,
		`sluice_last_reload_successful{part="changes"}`:       1,
		`sluice_reload_failures_total{part="certificates"}`:   0,
	}
	b.shows("at first", good)

	// The watch may be quicker than Reload; what it found is then not counted twice.
	cert := pair.CertPEM()
	b.Put("cert.pem", cert[:len(cert)/2])
	if _, err := b.Reload(); err == nil {
		t.Fatal("half a certificate was taken over")
	}
	b.shows("spoilt", map[string]float64{
		`sluice_last_reload_successful{part="certificates"}`:  0,
		`sluice_last_reload_successful{part="configuration"}`: 1,
		`sluice_reload_failures_total{part="certificates"}`:   1,
	})
	b.Put("cert.pem", cert)
	if _, err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	good[`sluice_reload_failures_total{part="certificates"}`] = 1
	b.shows("mended", good)
}

// Two authorities of one name in one file must not end the scrape.
func TestMetricsOfAuthoritiesOfOneName(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	b := newTestHost(t, "host-b")
	b.Trust(ca, hosttest.NewAuthority(t, "CA"))
	b.Certify(ca, pki.Host{})
	b.start(withMetrics, hosttest.PeerA)
	if n := bytes.Count(b.exposition(), []byte(`role="ca"`)); n != 1 {
		t.Errorf("%d series", n)
	}
}

func TestMetricsOfRefusals(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start(withMetrics, "[peers.host-c]\naddress = '127.0.0.1:1'\n")
	a.start("", peerTable(b, ""))
	if a.ask("host-b") == nil {
		t.Fatal("host-a was let in")
	}
	for _, words := range []string{"", "GET / HTTP/1.1\r\n\r\n"} {
		c, err := net.Dial("tcp", b.listening())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, words)
		if words != "" {
			io.Copy(io.Discard, c)
		}
		c.Close()
	}
	b.shows("refused", map[string]float64{
		`sluice_handshakes_refused_total{reason="denied"}`:   1,
		`sluice_handshakes_refused_total{reason="closed"}`:   1,
		`sluice_handshakes_refused_total{reason="not-tls"}`:  1,
		`sluice_handshakes_refused_total{reason="timeout"}`:  0,
		`sluice_handshakes_refused_total{reason="wrong-ca"}`: 0,
	})
}

// docs/metrics.md has every metric with its labels and its type, and no others;
// and they are as Prometheus wants them.
func TestMetricsReference(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	b := newTestHost(t, "host-b")
	b.Trust(ca)
	b.Certify(ca, pki.Host{})
	list, err := ca.CRL(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{}})
	if err != nil {
		t.Fatal(err)
	}
	b.Put("crl.pem", list)
	b.start(withMetrics+fmt.Sprintf("\nstate_dir = '%s'", b.Path("state")), "crl = '"+b.Path("crl.pem")+"'\n"+hosttest.PeerA+interceptTable(t, 49152)+toCat)
	// An ended one is in the histograms.
	moved, err := b.Sessions.Add(stream.Info{ID: "2", Work: session.WorkMigration, Guest: "web2"}, control.Incoming)
	if err != nil {
		t.Fatal(err)
	}
	moved.Downtime(84 * time.Millisecond)
	b.Sessions.End(moved, control.Moved, stream.CodeDone, "")
	// Two sessions whose IDs begin alike must not end the scrape.
	for _, end := range []string{"", "f"} {
		e, err := b.Sessions.Add(stream.Info{ID: "0011223344" + end, Work: session.WorkMigration, Guest: "web1"}, control.Incoming)
		if err != nil {
			t.Fatal(err)
		}
		e.SetPhase(control.PhaseMemory)
		e.SetStats(virt.JobStats{Total: 1 << 30, Processed: 1 << 28, Remaining: 3 << 28, Iteration: 1, DirtyRate: 1 << 20, Downtime: 300 * time.Millisecond})
		t.Cleanup(func() { b.Sessions.End(e, control.Failed, stream.CodeLink, "") })
	}
	e, err := b.Sessions.Add(stream.Info{ID: "1", Work: session.WorkMigration, Guest: "web1"}, control.Outgoing)
	if err != nil {
		t.Fatal(err)
	}
	e.SetPhase(control.PhaseFinish)
	e.SetStats(virt.JobStats{Total: 1 << 30})
	t.Cleanup(func() { b.Sessions.End(e, control.Failed, stream.CodeLink, "") })
	text := b.exposition()
	if !bytes.Contains(text, []byte(`sluice_session_completed_ratio{direction="in",session="00112233",work="migration"} 0.25`)) {
		t.Errorf("no ratio of the session in\n%s", text)
	}

	for _, line := range []string{`sluice_migration_duration_seconds_bucket{direction="in",outcome="moved",work="migration",le="1"} 1`,
		`sluice_migration_downtime_seconds_bucket{direction="in",work="migration",le="0.05"} 0`, `sluice_migration_downtime_seconds_bucket{direction="in",work="migration",le="0.1"} 1`,
		`sluice_draining 0`, `sluice_history_kept 1`, `sluice_leaving_guests{state="overdue"} 0`} {
		if !bytes.Contains(text, []byte(line+"\n")) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	needs.Program(t, "promtool")
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	kinds := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(m[1], "sluice_") { // else it is of Go's and the process's, which Prometheus describes
			kinds[m[1]] = m[2]
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds"} {
		if !bytes.Contains(text, []byte("\n"+name+" ")) {
			t.Errorf("no %s", name)
		}
	}
	labels := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^(\w+)\{(.*)\} \S+$`).FindAllStringSubmatch(string(text), -1) {
		name := m[1]
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, part); kinds[base] == "histogram" {
				name = base
			}
		}
		if !strings.Contains(","+m[2], `,le="`) {
			labels[name] = m[2]
		}
	}
	docs, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(sluice_\\w+)` \\| (\\w+) \\| (.*?) \\|").FindAllStringSubmatch(string(docs), -1)
	for _, row := range rows {
		name, kind, said := row[1], row[2], row[3]
		if kinds[name] != kind {
			t.Errorf("docs/metrics.md says that %s is a %s; it is %q", name, kind, kinds[name])
		}
		delete(kinds, name)
		wanted := strings.Split(said, ", ")
		if said == "–" {
			wanted = nil
		}
		for _, label := range wanted {
			if !strings.Contains(","+labels[name], ","+strings.Trim(label, "`")+`="`) {
				t.Errorf("docs/metrics.md gives %s the label %s; it has %s", name, label, labels[name])
			}
		}
		if n, m := len(wanted), strings.Count(labels[name], `="`); n != m {
			t.Errorf("docs/metrics.md has %d labels of %s, which has %d", n, name, m)
		}
	}
	for name := range kinds {
		t.Errorf("docs/metrics.md does not have %s", name)
	}
	for _, label := range []string{"channel", "work"} {
		values := make(map[string]bool)
		for _, m := range regexp.MustCompile(`[{,]`+label+`="([^"]*)"`).FindAllSubmatch(text, -1) {
			values[string(m[1])] = true
		}
		item := regexp.MustCompile("(?m)^- `" + label + "`: .*\n(?:  .*\n)*").Find(docs)
		for _, m := range regexp.MustCompile("`([a-z]+)`[^:]").FindAllSubmatch(item, -1) {
			if value := string(m[1]); !values[value] {
				t.Errorf("docs/metrics.md has the value %s of %s, which there is not", value, label)
			}
			delete(values, string(m[1]))
		}
		for value := range values {
			t.Errorf("docs/metrics.md does not have the value %s of %s", value, label)
		}
	}
}
