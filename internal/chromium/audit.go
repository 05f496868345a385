package chromium

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"

	"github.com/virt-sluice/sluice/internal/needs"
)

// axeFile is where test/axe puts axe-core, below the module's root.
const axeFile = "bin/axe/axe.min.js"

// Audit has axe-core look for what keeps people from using the page as it is now.
func (p *Page) Audit(name string) {
	p.t.Helper()
	if !Eval[bool](p, "'axe' in window") {
		path := filepath.Join(root(), axeFile)
		needs.File(p.t, path, "axe-core (test/axe bin/axe fetches it)")
		script, err := os.ReadFile(path)
		p.check(err)
		p.check(chromedp.Do(p.ctx, chromedp.Evaluate[chromedp.Void](string(script))))
	}
	found := Eval[[]string](p, `axe.run(document, { resultTypes: ["violations", "incomplete"] }).then((r) =>
		r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + v.help + "\n" + n.html + "\n" + n.failureSummary)))`)
	for _, f := range found {
		p.t.Errorf("%s: axe-core finds %s", name, f)
	}
}

// root is the folder of the module: go test runs in a package's.
func root() string {
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return strings.TrimSuffix(dir, "/")
}
