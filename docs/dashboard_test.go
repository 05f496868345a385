package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// Prometheus understands what the dashboard asks, and the alerts, and there is what they ask for:
// metrics.md has each metric, with the labels by which it is chosen.
func TestDashboard(t *testing.T) {
	needs.Program(t, "promtool")
	raw, err := os.ReadFile("prometheus/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	rules, queries := "groups:\n- name: dashboard\n  rules:\n", ""
	for i, p := range board.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("the panel %q asks for nothing", p.Title)
		}
		for j, q := range p.Targets {
			expr := strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m", "$__range", "1h").Replace(q.Expr)
			rules += fmt.Sprintf("  - record: panel_%d_%d\n    expr: %q\n", i, j, expr)
			queries += expr + "\n"
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}

	reference, err := os.ReadFile("metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile(`\b(sluice_\w+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(queries+string(alerts), -1) {
		found++
		name := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(m[1], "")
		row := regexp.MustCompile("(?m)^\\| `" + name + "` \\| \\w+ \\| (.*?) \\|").FindStringSubmatch(string(reference))
		if row == nil {
			t.Errorf("metrics.md has no %s", name)
			continue
		}
		for _, label := range regexp.MustCompile(`(\w+)\s*[=!]~?"`).FindAllStringSubmatch(m[2], -1) {
			if label[1] != "instance" && !strings.Contains(row[1], "`"+label[1]+"`") {
				t.Errorf("metrics.md gives %s no label %s", name, label[1])
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d metrics were found", found)
	}
}
