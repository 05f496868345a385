package plan

import (
	"bytes"
	"fmt"
	"maps"
	"math"
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
		a.Disks[target] = Answered{Unknown: clipped(strings.Repeat("ß", maxUnknown), maxUnknown)}
		if i%2 == 0 {
			a.Disks[target] = Answered{There: true, Format: strings.Repeat("f", maxFormat), Size: maxSize}
		}
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

// What no sluice would answer is not taken, and neither is what can't be told to a person.
func TestNonsense(t *testing.T) {
	type fields = map[string]any
	fine := fields{"check": "memory", "result": control.ResultOK, "text": "there is a lot"}
	with := func(of fields, key string, value any) fields {
		of = maps.Clone(of)
		of[key] = value
		return of
	}
	finding := func(key string, value any) fields { return fields{"findings": []fields{with(fine, key, value)}} }
	disk := func(is fields) fields {
		return fields{"findings": []fields{fine}, "disks": map[string]fields{"vda": is}}
	}
	size := func(n any) fields { return disk(fields{"there": true, "format": "raw", "size": n}) }
	for name, c := range map[string]struct {
		answer any
		words  string // of the refusal; empty: it is taken
	}{
		"good":                        {size(uint64(8 << 20)), ""},
		"good without disks":          {fields{"findings": []fields{fine}}, ""},
		"nothing":                     {nil, "finds nothing"},
		"no map":                      {[]int{1, 2, 3}, "answer"},
		"a text":                      {"yes", "decod"},
		"findings that are a number":  {fields{"findings": 7}, "decod"},
		"a text that is a map":        {finding("text", fields{"a": 1}), "decod"},
		"a long text":                 {finding("text", strings.Repeat("x", maxText+10)), "more than an answer has"},
		"a long remedy":               {finding("remedy", strings.Repeat("x", 1<<20)), "more than an answer has"},
		"a terminal's commands":       {finding("text", "\x1b]0;owned\a\x1b[2J"), `"\x1b]0;owned\a\x1b[2J"`},
		"a remedy of two lines":       {finding("remedy", "look\nerror  peer  all is lost"), `"look\nerror`},
		"a code of a terminal":        {finding("code", "\x1b[31m"), "can't be shown"},
		"text that is turned about":   {finding("text", "\u202egnihton"), "can't be shown"},
		"no UTF-8":                    {finding("text", "\xff\xfe"), "can't be shown"},
		"another result":              {finding("result", "splendid"), `"splendid"`},
		"well and not":                {fields{"findings": []fields{fine, with(with(fine, "result", control.ResultError), "text", "none")}}, "contradicts itself about memory"},
		"a size below zero":           {size(-1), "more than disks have"},
		"a size that is no number":    {size(math.NaN()), "decod"},
		"a size without end":          {size(math.Inf(1)), "decod"},
		"a size in words":             {size("8 MiB"), "decod"},
		"a size of nothing":           {disk(fields{"there": false, "size": uint64(8 << 20)}), "contradicts itself about disk vda"},
		"there, and not known":        {disk(fields{"there": true, "unknown": "no idea"}), "contradicts itself about disk vda"},
		"a format of a terminal":      {disk(fields{"there": true, "format": "\x1b[8m"}), "can't be shown"},
		"a long format":               {disk(fields{"there": true, "format": strings.Repeat("raw", 100)}), "longer than"},
		"a disk that the guest lacks": {fields{"findings": []fields{fine}, "disks": map[string]fields{"sda": {"there": true}}}, `"sda"`},
	} {
		b, err := msgpack.Marshal(c.answer)
		if err != nil {
			t.Fatal(err)
		}
		a := new(Answer)
		if err = msgpack.Unmarshal(b, a); err != nil {
			err = fmt.Errorf("decode the answer: %w", err)
		} else {
			err = a.check([]string{"vda"})
		}
		if (err == nil) != (c.words == "") || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", name, err, c.words)
		}
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
