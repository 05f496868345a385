package chromium

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	logs "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/virt-sluice/sluice/internal/needs"
)

// patience bounds the wait for something on a page. It is for machines that have much else to do.
const patience = 3 * time.Minute

// Page is one tab of a browser of its own. It is for one goroutine.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// Open opens a page in a new browser, which ends with the test or by what is returned.
func Open(t testing.TB, url string) (p *Page, end func()) {
	t.Helper()
	needs.Program(t, "chromium")
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath("chromium"),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-GB"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which Chromium does not do without, as root
	}
	ctx, endBrowser := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, endTab := chromedp.NewContext(ctx)
	end = sync.OnceFunc(func() {
		endTab()
		endBrowser()
	})
	t.Cleanup(end)
	p = &Page{t: t, ctx: ctx}
	p.check(chromedp.Listen(ctx, p.hear))
	_, err := chromedp.Call(ctx, logs.Enable, cdp.Empty{})
	p.check(err)
	p.Go(url)
	return p, end
}

// Go leads the tab to another page.
func (p *Page) Go(url string) {
	p.t.Helper()
	p.check(chromedp.Do(p.ctx, chromedp.Navigate(url)))
}

func (p *Page) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("Chromium: %v", err)
	}
}

// hear notes what is wrong: exceptions, what is written to the console, and what the browser has to
// say of what it refused or could not load.
func (p *Page) hear(event any) {
	var words string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		words = "exception: " + e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			words += " " + x.Description
		}
	case *runtime.EventConsoleAPICalled:
		words = fmt.Sprintf("console.%v", e.Type)
		for _, a := range e.Args {
			words += " " + string(a.Value) + a.Description
		}
	case *logs.EventEntryAdded:
		words = fmt.Sprintf("%v: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complaints = append(p.complaints, words)
}

// Complaints are what the browser has complained of since it was asked last.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.complaints
	p.complaints = nil
	return all
}

// Look shows the page as wide as that, "light" or "dark".
func (p *Page) Look(width int64, scheme string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600})
	p.check(err)
	_, err = chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme},
		{Name: "prefers-reduced-motion", Value: "reduce"}, // what fades in has no contrast of its own
	}})
	p.check(err)
	p.Wait("the width", fmt.Sprintf("innerWidth === %d && matchMedia('(prefers-color-scheme: %s)').matches", width, scheme))
}

// Eval is the value of an expression on the page.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("Chromium: %s: %v", expression, err)
	}
	return value
}

// Do evaluates what has no value that matters.
func (p *Page) Do(expression string) {
	p.t.Helper()
	Eval[bool](p, "("+expression+", true)")
}

// Wait waits until an expression is true. The page's policy lets nothing in it wait for us.
func (p *Page) Wait(what, expression string) {
	p.t.Helper()
	late := time.After(patience)
	for !Eval[bool](p, "!!("+expression+")") {
		select {
		case <-time.After(30 * time.Millisecond):
		case <-late:
			p.Shot("late")
			p.t.Fatalf("%s: not within %v (%s); the browser says %q", what, patience, expression, p.Complaints())
		}
	}
}

// Press presses keys: text, or one of package kb.
func (p *Page) Press(keys string) {
	p.t.Helper()
	p.check(chromedp.Do(p.ctx, chromedp.KeyEvent(keys)))
}

// Shot keeps a picture of the whole page, if pictures are kept.
func (p *Page) Shot(name string) {
	p.t.Helper()
	folder := os.Getenv("SLUICE_SCREENSHOTS")
	if folder == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	p.check(err)
	p.check(os.MkdirAll(folder, 0o755))
	p.check(os.WriteFile(filepath.Join(folder, strings.ReplaceAll(name, " ", "-")+".png"), png, 0o644))
}
