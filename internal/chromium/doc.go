// Package chromium shows pages to tests as people see them: in Chromium, without a window. It keeps
// what the browser complains of, and has axe-core judge whether a page can be used by keyboard and
// with a screen reader.
//
//	p := chromium.Open(t, url)
//	p.Look(390, "dark")
//	p.Wait("the bar", `document.querySelector(".progress")`)
//	p.Audit("a migration")
//
// With SLUICE_SCREENSHOTS=FOLDER it keeps what it has seen.
package chromium
