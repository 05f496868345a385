package faults

import "github.com/virt-sluice/sluice/internal/site"

// upgradeFaults are none: another process of sluice takes over from one that has the migration, and
// the migration ends as ever.
func upgradeFaults() (list []*fault) {
	for _, on := range []struct {
		name string
		of   func(s *stage) *site.Daemon
	}{
		{"sluice-a:upgrade", func(s *stage) *site.Daemon { return s.site.A }},
		{"sluice-b:upgrade", func(s *stage) *site.Daemon { return s.site.B }},
	} {
		list = append(list, &fault{name: on.name, strike: func(s *stage) error {
			earlier, err := on.of(s).Follow(s.ctx)
			s.earlier = append(s.earlier, earlier)
			return err
		}})
	}
	return list
}
