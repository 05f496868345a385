package faults

import (
	"fmt"
	"testing"
)

// The table has each way with each kind that it can do, with each moment and each fault that it can
// meet, and no case twice.
func TestTable(t *testing.T) {
	have, list := make(map[string]bool), cases()
	pairs := make(map[string]bool)
	counts := make(map[string]int)
	for _, c := range list {
		if have[c.name()] {
			t.Errorf("%s is there twice", c.name())
		}
		have[c.name()] = true
		counts[c.way.name]++
		counts[c.kind]++
		counts[c.moment.name]++
		pairs[c.way.name+" "+c.kind], pairs[c.way.name+" "+c.moment.name], pairs[c.kind+" "+c.moment.name] = true, true, true
	}
	if len(list) < 300 {
		t.Errorf("%d cases", len(list))
	}
	for _, c := range everything() {
		if c.way == plain || c.way.tunnel && c.moment.finish || c.way.alone && c.moment.name == "confirm" {
			continue
		}
		for _, pair := range []string{c.way.name + " " + c.kind, c.way.name + " " + c.moment.name, c.kind + " " + c.moment.name} {
			if !pairs[pair] {
				t.Errorf("no case has %s", pair)
				pairs[pair] = true
			}
		}
	}
	for _, name := range sample {
		if !have[name] {
			t.Errorf("%s is in the sample and not in the table", name)
		}
	}
	t.Log(len(list), fmt.Sprint(counts))
}
