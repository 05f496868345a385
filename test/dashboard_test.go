package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/needs"
)

// without are the metrics of which a host in this test has none, or none that the dashboard shows.
var without = []string{"sluice_interception", "sluice_crl_next_update_timestamp_seconds", "sluice_draining"}

// window is that of rates: longer than the test, so that what has happened once is seen at any time.
const window = "5m"

// prometheus is a real one, on host-a, that scrapes both hosts.
type prometheus struct{ s *site }

func (s *site) prometheus(rules string) *prometheus {
	s.t.Helper()
	needs.Program(s.t, "prometheus")
	config := s.write("prometheus.yml", fmt.Appendf(nil, `
global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 2s}
rule_files: [%q]
scrape_configs:
  - job_name: sluice
    static_configs: [{targets: ["host-a:16515", "host-b:16515"]}]
`, rules))
	var out bytes.Buffer
	c := s.A.Command(s.ctx, "prometheus", "--config.file="+config, "--storage.tsdb.path="+s.dir+"/prometheus", "--web.listen-address=127.0.0.1:9090")
	c.Stdout, c.Stderr = &out, &out
	s.check(c.Start())
	ended := make(chan struct{})
	go func() {
		c.Wait()
		close(ended)
	}()
	s.t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		if s.t.Failed() {
			s.t.Logf("Prometheus:\n%s", tail(out.String(), 4<<10))
		}
	})
	p := &prometheus{s}
	s.wait("Prometheus is ready", time.Minute, func() bool {
		_, _, status := s.run(s.A, "curl", "-sSf", "http://127.0.0.1:9090/-/ready")
		return status == 0
	})
	s.wait("Prometheus knows both hosts", time.Minute, func() bool { return len(p.ask(`sluice_build_info`)) == 2 })
	return p
}

// ask is what a query finds now. One that Prometheus does not take fails the test.
func (p *prometheus) ask(query string) (found []json.RawMessage) {
	p.s.t.Helper()
	text, errs, status := p.s.run(p.s.A, "curl", "-sS", "-G", "--data-urlencode", "query="+query, "http://127.0.0.1:9090/api/v1/query")
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &answer); status != 0 || err != nil || answer.Status != "success" {
		p.s.t.Fatalf("%s: curl ends with status %d, %v: %s%s", query, status, err, text, errs)
	}
	return answer.Data.Result
}

// queries are those of the dashboard, as it asks for all hosts.
func (s *site) queries() (all []string) {
	s.t.Helper()
	raw, err := os.ReadFile("../docs/prometheus/dashboard.json")
	s.check(err)
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	s.check(json.Unmarshal(raw, &board))
	for _, p := range board.Panels {
		if len(p.Targets) == 0 {
			s.t.Errorf("the panel %q asks for nothing", p.Title)
		}
		for _, q := range p.Targets {
			all = append(all, strings.NewReplacer("$instance", ".*", "$__rate_interval", window, "$__range", window).Replace(q.Expr))
		}
	}
	if len(all) < 20 {
		s.t.Fatalf("the dashboard has %d queries", len(all))
	}
	return all
}

// Every query of the dashboard finds something in a real Prometheus, at some moment of a migration
// that fails and of one that does not.
func TestDashboard(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	rules, err := os.ReadFile("../docs/prometheus/alerts.yml")
	s.check(err)
	a, b := s.both(conf{top: "metrics = \"0.0.0.0:16515\"\n"})
	p := s.prometheus(s.write("alerts.yml", rules))
	g := s.guest(lab.GuestSpec{MemoryMiB: 128, DirtyMiB: 16})

	missing := s.queries()
	look := func() {
		var left []string
		for _, q := range missing {
			if len(p.ask(q)) == 0 {
				left = append(left, q)
			}
		}
		missing = left
	}
	s.run(s.A, "curl", "-sS", "http://host-b:16514/") // a stranger, who is refused
	m := a.migrate(g.Name, slow...)
	m.halfway()
	s.wait("figures of a migration under way", time.Minute, func() bool {
		look()
		return !slices.ContainsFunc(missing, func(q string) bool { return strings.HasPrefix(q, "sluice_session_") })
	})
	s.check(m.cmd.Process.Kill())
	a.ended()
	moved(a.migrate(g.Name), g, a, b)
	expected := func(q string) bool {
		for _, metric := range without {
			if strings.Contains(q, metric) {
				return false
			}
		}
		return true
	}
	var left []string
	defer func() {
		if len(left) > 0 {
			t.Errorf("nothing was found by\n%s", strings.Join(left, "\n"))
		}
	}()
	s.wait("figures of migrations that ended", time.Minute, func() bool {
		look()
		left = nil
		for _, q := range missing {
			if expected(q) {
				left = append(left, q)
			}
		}
		return len(left) == 0
	})
	// And Prometheus takes the alerts as they are.
	text, _, _ := s.run(s.A, "curl", "-sS", "http://127.0.0.1:9090/api/v1/rules")
	if n := strings.Count(text, `"health":"ok"`); n != strings.Count(string(rules), "- alert: ") {
		t.Errorf("%d alerts are well in\n%s", n, text)
	}
}
