package page

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/virt-sluice/sluice/internal/chromium"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Every view as people see it: wide and on a phone, light and dark, with names that are markup.
// axe-core finds nothing in any, nothing is wider than the screen, and the browser complains of
// nothing.
func TestLooks(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p, end := chromium.Open(t, s.URL)
	defer end()
	p.Wait("the scene", `document.querySelectorAll(".card").length === 2 && document.querySelectorAll("#tiles li").length === 5`)
	p.Do(`document.querySelector("#peer-list details").open = true`)
	views := []string{"migrations", "history", "peers", "host"}
	p.Wait("what was found of a peer", `document.querySelector('[data-peer="old-host"] .wrong')?.textContent.includes("nothing listens at 192.0.2.9:16514: connection refused")`)
	p.Wait("a certificate's days", `[...document.querySelectorAll("#certificates li")].some((c) => c.textContent.includes("As a client") && c.textContent.includes("19 days left"))`)
	for _, width := range []int64{1400, 390} {
		for _, scheme := range []string{"dark", "light"} {
			audit := (width == 390) == (scheme == "dark") // each width, and each scheme, once
			p.Look(width, scheme)
			for _, view := range views {
				name := fmt.Sprintf("%s %d %s", view, width, scheme)
				p.Do(fmt.Sprintf("location.hash = %q", view))
				p.Wait(view, fmt.Sprintf("!document.querySelector('[data-view=%s]').hidden && document.querySelector('nav [aria-current]').hash === '#%[1]s' && scrollY === 0", view))
				p.Shot(name)
				if audit {
					p.Audit(name)
				}
				if wide := chromium.Eval[int64](p, "document.documentElement.scrollWidth"); wide > width {
					t.Errorf("%s: %d wide", name, wide)
				}
			}
			p.Do(`location.hash = "migrations"`)
			for _, dialog := range []string{"#recent button.name", ".card button:last-of-type"} {
				name := fmt.Sprintf("%s %d %s", strings.Fields(dialog)[0][1:], width, scheme)
				p.Do(fmt.Sprintf("document.querySelector(%q).click()", dialog))
				p.Wait("the dialog", `document.querySelector("dialog[open] h2") && !document.querySelector("dialog[open] .empty")`)
				p.Do(`document.querySelectorAll("#session details").forEach((d) => d.open = true)`)
				p.Shot(name)
				if audit {
					p.Audit(name)
				}
				p.Do(`document.querySelector("dialog[open]").close()`)
			}
		}
	}
	for _, c := range p.Complaints() {
		t.Errorf("the browser complains: %s", c)
	}
	if chromium.Eval[bool](p, `"broken" in window || !!document.querySelector("main img, main script")`) {
		t.Error("a name has become markup")
	}
	if got := chromium.Eval[string](p, `document.querySelectorAll(".card h3")[1].textContent`); got != hostileGuest {
		t.Errorf("a guest is called %q", got)
	}
}

// A page that is open follows what happens: the bar and the charts move, the result appears, and is
// said aloud. All of it goes by keyboard, cancelling as well.
func TestFollows(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p, end := chromium.Open(t, s.URL)
	defer end()
	const card = `document.querySelector('[data-session="a1"]')`
	p.Wait("the bar", card+`?.querySelector('[role="progressbar"]').getAttribute("aria-valuenow") === "10"`)
	p.Wait("the samples from before", card+`.querySelector("polyline").getAttribute("points").split(" ").length >= 20`)
	points := chromium.Eval[int](p, card+`.querySelector("polyline").getAttribute("points").split(" ").length`)
	p.Do(`window.before = ` + card)
	s.set(55)
	p.Wait("the bar's move", card+`.querySelector('[role="progressbar"]').getAttribute("aria-valuenow") === "55"`)
	p.Wait("the chart's move", fmt.Sprintf(`%s.querySelector("polyline").getAttribute("points").split(" ").length === %d`, card, points+1))
	if !chromium.Eval[bool](p, card+" === window.before") {
		t.Error("the card is another element, in which no focus stays")
	}

	// By keyboard: the first stop skips to the content, a card's button cancels.
	p.Do("document.body.focus()")
	p.Press(kb.Tab)
	if got := chromium.Eval[string](p, "document.activeElement.textContent"); got != "Skip to content" {
		t.Errorf("the first stop is %q", got)
	}
	p.Press(kb.Enter)
	p.Wait("the content's focus", `document.activeElement.id === "content"`)
	for range 40 {
		p.Press(kb.Tab)
		if chromium.Eval[bool](p, `document.activeElement.textContent === "Cancel…"`) {
			break
		}
	}
	p.Press(kb.Enter)
	p.Wait("the question for the token", `document.activeElement.name === "token"`)
	if words := chromium.Eval[string](p, `document.getElementById("cancel").textContent`); !strings.Contains(words, "Cancel web1?") || !strings.Contains(words, "/run/sluice/web.token") {
		t.Errorf("the dialog says %q", words)
	}
	p.Press("wrong")
	p.Press(kb.Enter)
	p.Wait("the refusal", `document.querySelector('#cancel [role="alert"]')?.textContent.includes("this is not it")`)
	var complaints []string
	for _, c := range p.Complaints() {
		if !strings.Contains(c, "401 (Unauthorized)") {
			complaints = append(complaints, c)
		}
	}
	p.Press(token) // what was wrong is selected
	p.Press(kb.Enter)
	p.Wait("the end of the dialog", `!document.querySelector("dialog[open]")`)
	p.Wait("the result", card+`?.dataset.outcome === "cancelled" && `+card+`.textContent.includes("cancelled on host-a")`)
	p.Wait("the result's row", `document.querySelector("#recent tbody tr").dataset.session === "a1"`)
	p.Wait("what is said of it", `document.getElementById("said").textContent.includes("web1: Cancelled")`)
	s.mu.Lock()
	if fmt.Sprint(s.cancelled) != "[a1]" {
		t.Errorf("cancelled: %v", s.cancelled)
	}
	s.finish(control.Moved, "")
	s.mu.Unlock()
	p.Wait("the other's result", `document.querySelector('[data-session="b2"]').dataset.outcome === "moved"`)
	p.Wait("its downtime", `document.querySelector('[data-session="b2"]').textContent.includes("47 ms")`)

	// A dialog of a session, by keyboard, gives the focus back.
	p.Do(`document.querySelector("#recent button.name").focus()`)
	p.Press(kb.Enter)
	p.Wait("the dialog", `document.querySelector("#session[open] .timeline")`)
	p.Press(kb.Escape)
	p.Wait("the focus where it was", `document.activeElement === document.querySelector("#recent button.name")`)

	// Filters of history.
	p.Do(`location.hash = "history"`)
	p.Wait("history", `document.getElementById("found").textContent === "14 sessions"`)
	p.Do(`document.querySelector('[name="text"]').focus()`)
	p.Press("MAIL")
	p.Wait("those of mail", `document.getElementById("found").textContent === "3 sessions"`)
	p.Do(`document.querySelector('[name="text"]').value = ""`)
	p.Do(`(document.querySelector('[name="outcome"]').value = "failed", document.querySelector('[name="outcome"]').dispatchEvent(new Event("change")))`)
	p.Wait("those that failed", `document.getElementById("found").textContent === "5 sessions"`)

	for _, c := range append(complaints, p.Complaints()...) {
		t.Errorf("the browser complains: %s", c)
	}
}
