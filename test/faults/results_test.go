package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A result is what came of one case.
type result struct {
	Case    string        `json:"case"`
	Seed    uint64        `json:"seed"`
	Outcome string        `json:"outcome"` // where the guest was in the end
	Caller  string        `json:"caller"`  // what the caller said
	Words   string        `json:"words,omitempty"`
	Cause   string        `json:"cause,omitempty"`
	Verdict time.Duration `json:"verdict_ns"` // from the strike to the caller's end
	Took    time.Duration `json:"took_ns"`
	Notes   []string      `json:"notes,omitempty"`
	Problem string        `json:"problem,omitempty"`
}

func (r *result) fault(format string, args ...any) {
	if r.Problem != "" {
		r.Problem += "\n"
	}
	r.Problem += fmt.Sprintf(format, args...)
}

// knownBad are cases that fail, and why.
var knownBad = map[string]string{
	"intercept/memory/finish/libvirtd-a:stop-for-good": "libvirt's own: virsh says that the guest has moved, and leaves a paused copy; no sluice sees its calls",
}

// A record is all results of a run.
type record struct {
	mu  sync.Mutex
	all []*result
}

func newRecord() *record { return new(record) }

// add takes a result and, if they are asked for, writes RESULTS.md and results.json anew: a run that
// is broken off leaves what it has. Cases that were not run this time keep what results.json has of
// them.
func (rec *record) add(r *result) error {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.all = append(rec.all, r)
	if *results == "" {
		return nil
	}
	return rec.write(*results)
}

func (rec *record) write(dir string) error {
	file := filepath.Join(dir, "results.json")
	now := make(map[string]*result)
	var before []*result
	if raw, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(raw, &before); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, r := range append(before, rec.all...) {
		now[r.Case] = r
	}
	for _, r := range now {
		r.Words, r.Cause, r.Problem = plainly(r.Words), plainly(r.Cause), plainly(r.Problem)
		for i, n := range r.Notes {
			r.Notes[i] = plainly(n)
		}
	}
	var list []*result
	for _, c := range cases() {
		if r := now[c.name()]; r != nil {
			list = append(list, r)
		}
	}
	raw, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "RESULTS.md"), []byte(table(list)), 0o644)
}

func table(list []*result) string {
	var b strings.Builder
	count := make(map[string]int)
	var failed []*result
	for _, r := range list {
		count[r.Outcome]++
		if r.Problem != "" {
			failed = append(failed, r)
		}
	}
	fmt.Fprintf(&b, "# Fault campaign\n\nMade by `make test-faults`, which overwrites it. A case is WAY/KIND/MOMENT/FAULT; the tables in this\nfolder say what each word does. Repeat one with\n`go test ./test/faults -args -case CASE -seed SEED`.\n\n")
	fmt.Fprintf(&b, "%d cases, %d failed.\n\n| the guest in the end | cases |\n| --- | --- |\n", len(list), len(failed))
	outcomes := make([]string, 0, len(count))
	for o := range count {
		outcomes = append(outcomes, o)
	}
	slices.SortFunc(outcomes, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	for _, o := range outcomes {
		fmt.Fprintf(&b, "| %s | %d |\n", o, count[o])
	}
	b.WriteString("\n## In which time the caller must know\n\nFrom the strike, or from the end of a fault that has a length.\n\n| limit | within | why |\n| --- | --- | --- |\n")
	for _, l := range limits {
		fmt.Fprintf(&b, "| %s | %v | %s |\n", l.name, l.within, l.why)
	}
	if len(failed) > 0 {
		b.WriteString("\n## Failed\n\n")
		for _, r := range failed {
			why := cmp.Or(knownBad[r.Case], "not understood yet")
			fmt.Fprintf(&b, "- `%s`, seed %d (%s): %s\n", r.Case, r.Seed, why, cell(r.Problem, 300))
		}
	}
	b.WriteString("\n## Cases\n\n| case | seed | the guest | the caller says | after | cause |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range list {
		outcome := r.Outcome
		if r.Problem != "" {
			outcome = "**failed**: " + outcome
		}
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s | %.1f s | %s |\n", r.Case, r.Seed, outcome, r.Caller, r.Verdict.Seconds(), cell(cmp.Or(r.Cause, words(r)), 200))
	}
	return b.String()
}

// here are times and paths of the machine that the cases ran on.
var here = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(Z|\+0000)?( \+0000 UTC)?:? ?|/tmp/[^ ]*/`)

// plainly leaves out of a text what is this machine's, and virsh's chatter.
func plainly(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !chatter.MatchString(line) {
			b.WriteString(here.ReplaceAllString(line, ""))
		}
	}
	return strings.TrimSpace(b.String())
}

// words are the caller's where no session has a cause.
func words(r *result) string {
	if r.Caller == "moved" {
		return ""
	}
	return r.Words
}

// cell is text for a cell of a table.
func cell(s string, most int) string {
	s = strings.Join(strings.Fields(strings.ReplaceAll(s, "|", "\\|")), " ")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}
