package evacuate

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Guests that would not do with a part of the link go alone, and the others join each other.
func TestShare(t *testing.T) {
	free := map[string]uint64{"host-b": 100000}
	for name, c := range map[string]struct {
		sketches []sketch
		parallel int
		alone    string
		most     int
	}{
		"idle ones":                {[]sketch{{name: "a", need: 1000}, {name: "b", need: 1000}, {name: "c", need: 1000}}, 3, "", 3},
		"a hot part that fits":     {[]sketch{{name: "a", need: 1000, hot: 5}, {name: "b", need: 1000, hot: 5}}, 2, "", 2},
		"for two, and not three":   {[]sketch{{name: "a", need: 1000, hot: 12}, {name: "b", need: 1000}, {name: "c", need: 1000}}, 3, "", 2},
		"enough only alone":        {[]sketch{{name: "a", need: 1000, hot: 20}, {name: "b", need: 1000}, {name: "c", need: 1000, hot: 20}}, 2, "a c", 1},
		"ends only by means":       {[]sketch{{name: "a", need: 1000, risk: RiskMeans}, {name: "b", need: 1000}}, 2, "a", 1},
		"never ends, and is alone": {[]sketch{{name: "a", need: 1000, risk: RiskEndless}, {name: "b", need: 1000}}, 2, "", 2},
		"one at once":              {[]sketch{{name: "a", need: 1000, hot: 20}}, 1, "", 1},
	} {
		o := on(free, []string{"host-b"}, c.sketches...)
		o.Parallel = c.parallel
		e := New(o)
		var alone []string
		for _, l := range e.Plan().Leaving {
			if l.Alone {
				alone = append(alone, l.Guest)
			}
		}
		if got := strings.Join(alone, " "); got != c.alone {
			t.Errorf("%s: %q go alone, want %q", name, got, c.alone)
		}
		most := 0
		r := e.Run(t.Context(), nil, new(site).mover(func(Event) {
			under := 0
			for _, m := range e.moves {
				if m.state == moving {
					under++
				}
			}
			most = max(most, under)
		}))
		if r.Outcome != control.Moved || most != c.most {
			t.Errorf("%s: %s, %d at once, want %d", name, r.Outcome, most, c.most)
		}
		o.Apart = true
		for _, m := range New(o).moves {
			if m.atOnce != c.parallel {
				t.Errorf("%s: %s is sent among %d, although nothing is shared", name, m.Name, m.atOnce)
			}
		}
	}
}
