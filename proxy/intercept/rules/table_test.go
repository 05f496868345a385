package rules

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

func route(peer, addr string) Route { return Route{peer, netip.MustParseAddr(addr)} }

func table(routes ...Route) *Table {
	return &Table{Port: 16516, First: 49152, Last: 49215, Routes: routes}
}

func up(t *testing.T, want *Table, changed bool) {
	t.Helper()
	if got, err := Up(want); err != nil || got != changed {
		t.Fatalf("up: %v, %v; want %v", got, err, changed)
	}
	st, err := Read()
	if err != nil || !st.Equal(want) {
		t.Fatalf("read: %+v, %v; want %+v", st, err, want)
	}
}

// What is printed is what nft prints of the kernel's table, and nft takes it.
func TestPrintedIsExact(t *testing.T) {
	one := table(route("host-b", needs.There4))
	one.First, one.Last, one.Port = 5000, 5000, 1
	only := table(route("host-b", needs.There4))
	only.PeersAlone = true
	for name, want := range map[string]*Table{
		"no route": table(),
		"one port": one,
		"peers":    only,
		"routes":   table(route("a.example.org", "2001:db8::1"), route("host-b", needs.There4), route("host-b", needs.There6), route("v4-in-v6", "::ffff:0:0")),
	} {
		t.Run(name, func(t *testing.T) {
			needs.Network(t)
			up(t, want, true)
			if got := needs.Run(t, "", "nft", "-s", "list", "table", "inet", "sluice"); got != want.String() {
				t.Errorf("nft prints\n%s\nand sluice\n%s", got, want)
			}
			needs.Run(t, "", "nft", "delete", "table", "inet", "sluice")
			needs.Run(t, want.String(), "nft", "-f", "-")
			up(t, want, false) // as if sluice had made it
		})
	}
}

func TestUpAndDown(t *testing.T) {
	needs.Network(t)
	const other = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 22 accept\n\t}\n}\n"
	needs.Run(t, other, "nft", "-f", "-")
	if _, err := Read(); !errors.Is(err, ErrOff) {
		t.Errorf("before: %v", err)
	}
	if changed, err := Down(); changed || err != nil {
		t.Errorf("down before up: %v, %v", changed, err)
	}
	b, c := route("host-b", needs.There4), route("host-c", "192.0.2.3")
	up(t, table(b), true)
	up(t, table(b), false)
	up(t, table(b, c), true)
	up(t, table(c), true)
	for _, change := range [][]string{
		{"add", "rule", "inet", "sluice", "outgoing", "accept"},
		{"insert", "rule", "inet", "sluice", "incoming", "ip", "saddr", "192.0.2.9", "accept"},
		{"flush", "chain", "inet", "sluice", "escaping"},
		{"add", "chain", "inet", "sluice", "more"},
		{"add", "chain", "inet", "sluice", "incoming", "{ policy drop; }"},
	} {
		needs.Run(t, "", "nft", change...)
		if _, err := Read(); !errors.Is(err, ErrForeign) {
			t.Errorf("after nft %v: %v", change, err)
		}
		up(t, table(c), true)
	}
	if changed, err := Down(); !changed || err != nil {
		t.Errorf("down: %v, %v", changed, err)
	}
	if got := needs.Run(t, "", "nft", "list", "ruleset"); got != other {
		t.Errorf("left: %s", got)
	}
}

// What is read is of one moment, while the table changes all the time.
func TestReadWhileItChanges(t *testing.T) {
	needs.Network(t)
	one, two := table(route("host-b", needs.There4)), table(route("host-b", needs.There4), route("host-c", "192.0.2.3"))
	two.First = 40000
	up(t, one, true)
	next := two
	beside(t, func() {
		if _, err := Up(next); err != nil {
			t.Error(err)
		}
		if next == two {
			next = one
		} else {
			next = two
		}
	})
	seen := make(map[int]int)
	for seen[1] < 30 || seen[2] < 30 {
		st, err := Read()
		if err != nil || !st.Equal(one) && !st.Equal(two) {
			t.Fatalf("%+v, %v", st, err)
		}
		seen[len(st.Routes)]++
	}
}

// All rules of a large fleet go into the kernel at once.
func TestManyPeers(t *testing.T) {
	needs.Network(t)
	want := table()
	for i := range 2000 {
		want.Routes = append(want.Routes, route(fmt.Sprintf("host-%d.migration.example.org", i), fmt.Sprintf("10.0.%d.%d", i/256, i%256)),
			route(fmt.Sprintf("host-%d.migration.example.org", i), fmt.Sprintf("2001:db8::%x", i)))
	}
	want.sort()
	up(t, want, true)
	up(t, want, false)
}
