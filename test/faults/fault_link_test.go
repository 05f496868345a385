package faults

import (
	"fmt"
	"slices"
	"time"
)

func linkFaults() (list []*fault) {
	for _, c := range []struct {
		how   string
		lasts time.Duration
		at    []string
	}{
		{"1s", time.Second, whole},
		{"10s", 10 * time.Second, append([]string{"start", "confirm"}, whole...)},
		{"40s", 40 * time.Second, nil},
		{"for-good", forGood, nil},
	} {
		list = append(list, &fault{name: "link:down-" + c.how, hits: "link", apart: true, at: c.at, lasts: c.lasts,
			strike: func(s *stage) error { return s.CutLink() },
			mend:   func(s *stage) error { return s.RestoreLink() }})
	}
	list = append(list, &fault{name: "link:slow", at: whole, lasts: 15 * time.Second,
		strike: func(s *stage) error { return s.SlowLink(256 << 10) },
		mend: func(s *stage) error {
			if s.c.kind == "postcopy" {
				return s.SlowLink(slowed)
			}
			return s.SlowLink(0)
		}})
	inCopy := []string{"perform", "copy", "switch"}
	for _, c := range []struct {
		what      string
		at, kinds []string
	}{
		{"control", whole, nil},
		{"libvirt", append([]string{"confirm"}, whole...), nil},
		{"disk", inCopy[:2], []string{"storage"}},
		{"memory", inCopy, nil},
	} {
		f := &fault{name: "reset:" + c.what, hits: "link", apart: true, at: c.at, kinds: c.kinds,
			ways:   []string{"sluice", "p2p", "managed"},
			strike: func(s *stage) error { return s.reset(c.what) }}
		if c.what == "libvirt" {
			f.ways = []string{"p2p", "managed"}
		}
		list = append(list, f)
	}
	return list
}

// reset kills one connection between the sluices.
func (s *stage) reset(what string) error {
	ports, err := s.A.ConnectionsTo(s.ctx, 16514)
	if err != nil {
		return err
	}
	at := slices.Index(s.c.way.connections, what)
	switch what {
	case "disk":
		at = len(s.c.way.connections)
	case "memory":
		at = len(ports) - 1
	}
	if at < 0 || at >= len(ports) {
		return fmt.Errorf("no connection for %s among %d", what, len(ports))
	}
	return s.ResetConnections(s.ctx, ports[at])
}
