package plan

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

// A description comes out as it went in, up to the longest that there may be.
func TestDeflated(t *testing.T) {
	for _, n := range []int{0, 1, domainxml.MaxSize - 1, domainxml.MaxSize} {
		text := strings.Repeat("<disk/>", n/7+1)[:n]
		if got, err := inflated(deflated(text)); got != text || err != nil {
			t.Errorf("%d bytes come out as %d: %v", n, len(got), err)
		}
	}
	for name, packed := range map[string][]byte{
		"too long": deflated(strings.Repeat(" ", domainxml.MaxSize+1)),
		"cut":      deflated("<domain/>")[:3],
		"noise":    bytes.Repeat([]byte{0xff}, 100),
	} {
		if text, err := inflated(packed); err == nil {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// However much there is to tell, an answer fits into its frame, and is one that its source takes.
func TestAnswerFits(t *testing.T) {
	var all []control.Finding
	for range 10 * maxFindings {
		all = append(all, control.Finding{Check: "disks", Result: control.ResultError, Code: "missing", Text: strings.Repeat("ö", 280), Remedy: strings.Repeat("→", 4)})
	}
	a := &Answer{Findings: bounded(all, "host-b"), Disks: make(map[string]Answered)}
	var targets []string
	for i := range maxDisks {
		target := strings.Repeat(string(rune('a'+i%26)), 3+i/26)
		targets = append(targets, target)
		a.Disks[target] = Answered{There: true, Format: strings.Repeat("f", 16), Size: maxSize, Unknown: clipped(strings.Repeat("ß", maxUnknown), maxUnknown)}
	}
	b, err := msgpack.Marshal(a)
	if err != nil || len(b) > stream.MaxOpen-1024 {
		t.Errorf("an answer has %d bytes, %v", len(b), err)
	}
	if err := a.check(targets); err != nil {
		t.Error(err)
	}
	if last := a.Findings[len(a.Findings)-1]; len(a.Findings) != maxFindings || last.Code != "more" {
		t.Errorf("%d findings, of which the last is %+v", len(a.Findings), last)
	}
	all[1].Text, all[1].Remedy = strings.Repeat("ö", 2*maxText), strings.Repeat("→", 2*maxText)
	if some := bounded(all, "host-b"); len(some) >= maxFindings || some[len(some)-1].Code != "more" || len(some[1].Text) > maxText+3 {
		t.Errorf("%d findings, of which the last is %+v", len(some), some[len(some)-1])
	}
	for n := range 10 {
		if text := clipped("aöß→", n); !utf8.ValidString(text) {
			t.Errorf("%q", text)
		}
	}
	if text := clipped(strings.Repeat("\x80", 5), 3); text != "…" { // no character starts in it
		t.Errorf("%q", text)
	}
}

// A destination can't make the answer to "sluice plan" longer or wider than it is.
func TestAnswerIsBounded(t *testing.T) {
	fine := control.Finding{Check: strings.Repeat("c", maxCheck), Result: control.ResultOK, Text: "x"}
	findings := func(n int, of control.Finding) *Answer {
		return &Answer{Findings: slices.Repeat([]control.Finding{of}, n)}
	}
	wide, coded := fine, fine
	wide.Check += "c"
	coded.Code = wide.Check
	for name, c := range map[string]struct {
		answer *Answer
		taken  bool
	}{
		"as many as there may be": {findings(maxFindings, fine), true},
		"one more":                {findings(maxFindings+1, fine), false},
		"a long check":            {findings(1, wide), false},
		"a long code":             {findings(1, coded), false},
	} {
		if err := c.answer.check(nil); (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
}
