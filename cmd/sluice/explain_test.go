package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/docs"
)

// Every message of docs/messages.md is explained by its own entry, also within a chain and in the
// log's JSON.
func TestExplainKnowsAll(t *testing.T) {
	for _, e := range docs.Entries() {
		for _, m := range e.Messages {
			said := `host-a: channel memory-0: ` + strings.ReplaceAll(strings.ReplaceAll(m, "…", "web1"), `"`, `\"`) + ` "time":"2026-11-30T15:00:00Z"`
			found := explanations(said)
			if !slices.ContainsFunc(found, func(f docs.Entry) bool { return f.Title == e.Title }) {
				t.Errorf("%q of %q is not explained, but %q", m, e.Title, found)
			}
		}
	}
}
