package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/virt-sluice/sluice/internal/chromium"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// page is where a browser finds the daemon's page: at a port that leads to its socket, as SSH makes
// one.
func (d *daemon) page() (url string) {
	t := d.s.t
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	d.s.check(err)
	var work sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		work.Wait()
	})
	socket := d.host.Path(strings.Replace(control.DefaultSocket, "control", "web", 1))
	work.Go(func() {
		for {
			browser, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer browser.Close()
				page, err := net.Dial("unix", socket)
				if err != nil {
					return // which the browser tells
				}
				defer page.Close()
				work.Go(func() {
					io.Copy(page, browser)
					page.Close()
				})
				io.Copy(browser, page)
			})
		}
	})
	return "http://" + l.Addr().String()
}

// In a browser a migration's bar moves, and then its result is there, with the downtime.
func TestPage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const slow = "total_bandwidth = 2"
	a := s.start(s.A, conf{limits: slow})
	b := s.start(s.B, conf{})
	g := s.guest(lab.GuestSpec{Name: "web1", MemoryMiB: 128, Paused: true})
	p, end := chromium.Open(t, a.page())
	defer end()
	p.Wait("the peer, as it was checked", `[...document.querySelectorAll("#tiles a")].some((t) => t.textContent.includes("1 of 1"))`)

	m := a.migrate(g.Name)
	const bar = `document.querySelector('.card [role="progressbar"]')`
	p.Wait("the bar", bar)
	const percent = "Number(" + bar + `.getAttribute("aria-valuenow"))`
	p.Wait("its move", percent+" > 0")
	before := chromium.Eval[int](p, percent)
	p.Wait("its further move", fmt.Sprintf("%s > %d", percent, before))
	p.Wait("a curve", `document.querySelector(".card polyline").getAttribute("points").split(" ").length > 3`)
	p.Shot("migration in the lab")
	faster := bytes.Replace(a.configured(), []byte(slow), nil, 1)
	s.check(os.WriteFile(a.config, faster, 0o600))
	if out, errs, status := s.run(s.A, s.command, "reload"); status != 0 {
		t.Fatalf("sluice reload: status %d: %s%s", status, out, errs)
	}
	r := moved(m, g, a, b)
	p.Wait("the result", fmt.Sprintf(`document.querySelector('.card[data-session="%s"][data-outcome="moved"]')?.textContent.includes("Downtime")`, r.Session))
	p.Wait("its row", fmt.Sprintf(`document.querySelector('#recent tr[data-session="%s"]')?.textContent.includes("Moved")`, r.Session))
	p.Shot("result in the lab")
	for _, c := range p.Complaints() {
		t.Errorf("the browser complains: %s", c)
	}
	end()
	s.onlyOn(g, s.B)
}
