package faults

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
)

// A testCase is one migration and what strikes it.
type testCase struct {
	way    *way
	kind   string
	moment *moment
	fault  *fault
}

func (c *testCase) name() string {
	return strings.Join([]string{c.way.name, c.kind, c.moment.name, c.fault.name}, "/")
}

// rng draws for this case alone, whatever others run.
func (c *testCase) rng() *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(c.name()))
	return rand.New(rand.NewPCG(*seed, h.Sum64()))
}

// persistent says whether the guest is: half of them are.
func (c *testCase) persistent() bool {
	h := fnv.New64a()
	h.Write([]byte(c.name()))
	return h.Sum64()%2 == 0
}

// possible says whether there is something to strike.
func (c *testCase) possible() bool {
	f, m := c.fault, c.moment
	in := func(list []string, s string) bool { return list == nil || slices.Contains(list, s) }
	switch {
	case !in(f.at, m.name), !in(f.kinds, c.kind), !in(f.ways, c.way.name), !in(c.way.kinds, c.kind):
		return false
	case m.noB && f.hits == "qemu-b", m.noA && f.hits == "qemu-a":
		return false
	case f.hits == "caller" && (m.first || m.over):
		return false
	case m.name == "begin" && (c.way.name == "intercept" || c.way.name == "tunnelled"): // no session before Perform
		return false
	case c.kind == "postcopy" && m.name == "confirm": // libvirt's Finish lasts as long as post-copy
		return false
	}
	return true
}

// cases are those of the campaign: each fault at each moment that it is for, and what has failed
// once. Which way and which kind of migration it strikes is chosen so that few cases have as many
// pairs of two words as can be; the ways of sluice's own and of stock clients come more often than
// the others. The choice is the same each time.
func cases() (list []*testCase) {
	seen := make(map[string]bool) // pairs that a case has
	used := make(map[string]int)  // how often ways and kinds are
	for _, f := range faults() {
		for _, m := range moments {
			var best *testCase
			score := -1.0
			for _, w := range ways {
				for _, k := range kinds {
					c := &testCase{w, k, m, f}
					if !c.possible() {
						continue
					}
					s := 0.0
					for _, p := range c.pairs() {
						if !seen[p] {
							s++
						}
					}
					s += 2 / (1 + float64(used[w.name])/w.share()) / 2
					s += 1 / (1 + float64(used[k])) / 2
					s -= 4 * float64(used[w.name]) / w.share() / 400
					s -= float64(used[k]) / 400
					if best == nil || s > score {
						best, score = c, s
					}
				}
			}
			if best == nil {
				continue
			}
			for _, p := range best.pairs() {
				seen[p] = true
			}
			used[best.way.name]++
			used[best.kind]++
			if best.way.tunnel && m.finish && !m.over {
				// libvirtd carries the data itself, and can't be held at its Finish. What else lets
				// libvirt alone decide is interception.
				best.way = interception
			}
			if best.way.alone && m.name == "confirm" {
				// Nobody sees when its Perform has ended, after which libvirtd at the source may stop.
				best.way = managed
			}
			list = append(list, best)
		}
	}
	for _, c := range everything() {
		if slices.Contains(again, c.name()) && !slices.ContainsFunc(list, func(o *testCase) bool { return o.name() == c.name() }) {
			list = append(list, c)
		}
	}
	return list
}

// again are cases that have failed once.
var again = []string{
	"intercept/memory/finish/libvirtd-a:stop-for-good",
	"sluice/postcopy/finish/libvirtd-b:kill",
}

// pairs are the combinations of two words that a case tries.
func (c *testCase) pairs() []string {
	w, k, m, f := "way "+c.way.name, "kind "+c.kind, "moment "+c.moment.name, "fault "+c.fault.name
	return []string{w + k, w + m, w + f, k + m, k + f}
}

// share is how often a way comes, beside the others.
func (w *way) share() float64 {
	switch w.name {
	case "sluice", "p2p":
		return 3
	case "managed":
		return 2
	}
	return 1
}

// sample are some of all ways, kinds, moments, and groups of faults.
var sample = []string{
	"intercept/parallel/copy/sluice-a:restart",
	"intercept/storage/finish/disk-full:images-b",
	"led/memory/finish/certificate-a:revoked",
	"led/parallel/confirm/caller:interrupt",
	"managed/memory/begin/qemu-a:kill",
	"managed/memory/confirm/sluice-a:stop-5s",
	"p2p/memory/confirm/reset:libvirt",
	"p2p/memory/copy/clock-a:1h",
	"p2p/parallel/prepare/libvirtd-b:kill-for-good",
	"p2p/postcopy/copy/memory:qemu-b",
	"p2p/postcopy/prepare/descriptors:sluice-a",
	"p2p/storage/copy/clock-b:2y",
	"sluice/parallel/begin/libvirtd-a:kill",
	"sluice/parallel/confirm/sluice-a:kill",
	"sluice/parallel/perform/reset:memory",
	"sluice/parallel/start/name-taken",
	"sluice/postcopy/done/link:down-for-good",
	"tls/storage/finish/descriptors:sluice-a",
	"tls/storage/switch/guest:resets-itself",
	"tunnelled/memory/switch/link:down-for-good",
}
