package guests_test

import (
	"flag"
	"strings"
	"testing"
)

// all is for make test-ktls: one kernel says whether counting works.
var all = flag.Bool("all", false, "count instructions in every kernel")

// TestInstructions prints what command count finds. It fails only if that can't be
// found out: what a path costs is for bench/NOTES.md.
func TestInstructions(t *testing.T) {
	t.Parallel()
	init, count := build(t, "./init", true), build(t, "./count", true)
	for _, k := range kernels {
		if !*all && k.series != "6.12" {
			continue
		}
		t.Run(k.series, func(t *testing.T) {
			t.Parallel()
			// One processor, whose clock goes on by its instructions alone.
			text := k.boot(t, init, []program{{"1-count", count, nil}}, "-icount", "shift=0,sleep=off")
			for line := range strings.SplitSeq(text, "\n") {
				if said, ok := strings.CutPrefix(line, "count: "); ok {
					t.Log(said)
				}
			}
		})
	}
}
