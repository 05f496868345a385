package faults

import (
	"path/filepath"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// clockFaults set the time of day forward for one host's sluice, while it runs. Timers are not
// measured by it, and must not care; certificates are judged by it.
func clockFaults() (list []*fault) {
	for _, on := range []struct {
		name string
		host func(s *stage) *lab.Host
	}{
		{"clock-a", func(s *stage) *lab.Host { return s.A }},
		{"clock-b", func(s *stage) *lab.Host { return s.B }},
	} {
		for _, by := range []struct {
			name, hits string
			ahead      time.Duration
		}{
			{"1h", "", time.Hour},
			{"2y", "link", 2 * 365 * 24 * time.Hour}, // longer than certificates last
		} {
			list = append(list, &fault{name: on.name + ":" + by.name, hits: by.hits, apart: by.hits != "", at: []string{"prepare", "copy", "finish"},
				setUp: func(s *stage) error {
					clock, err := lab.NewClock(filepath.Join(s.dir, on.name))
					s.clocks = map[*lab.Host]*lab.Clock{on.host(s): clock}
					return err
				},
				strike: func(s *stage) error { return s.clocks[on.host(s)].Ahead(by.ahead) }})
		}
	}
	return list
}
