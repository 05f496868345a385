package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/chromium"
	"github.com/virt-sluice/sluice/proxy/control"
)

// A report's page can be read by everyone: opened from a file, wide and on a phone, light and dark,
// axe-core finds nothing, nothing is wider than the screen, and the browser complains of nothing.
func TestReportLooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var p *chromium.Page
	for _, r := range append(standinRecords(), underWay()) {
		path := filepath.Join(dir, r.ID+".html")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeReportPage(f, r, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if p == nil {
			var end func()
			p, end = chromium.Open(t, "file://"+path)
			defer end()
		} else {
			p.Go("file://" + path)
		}
		p.Wait("the report", `document.querySelector("main h1")`)
		for _, look := range []struct {
			width  int64
			scheme string
		}{{1400, "light"}, {390, "dark"}} {
			name := fmt.Sprintf("report of %s %d %s", r.ID[:8], look.width, look.scheme)
			p.Look(look.width, look.scheme)
			p.Shot(name)
			p.Audit(name)
			if wide := chromium.Eval[int64](p, "document.documentElement.scrollWidth"); wide > look.width {
				t.Errorf("%s: %d wide", name, wide)
			}
		}
	}
	for _, c := range p.Complaints() {
		t.Errorf("the browser complains: %s", c)
	}
}

// underWay is a migration that has not ended.
func underWay() *control.SessionRecord {
	r := standinRecords()[0]
	r.ID, r.Phase, r.Started, r.Ended, r.Outcome, r.Downtime = "b0b1b2b310ad6a8af243296899240004", control.PhaseMemory, time.Now().Add(-time.Minute), time.Time{}, "", 0
	return r
}
