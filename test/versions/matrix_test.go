package versions

import (
	"regexp"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

func TestVersions(t *testing.T) {
	lab.Require(t)
	if _, err := sluice.Programs(); err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile("^(?:" + *only + ")$")
	directions := usual
	if *all {
		directions = every
	}
	r := newRecord()
	for _, d := range directions {
		var chosen []*testCase
		for _, c := range cases {
			if *only != "" && match.MatchString(key(d, c)) || *only == "" && (*all || c.often) {
				chosen = append(chosen, c)
			}
		}
		if len(chosen) == 0 {
			continue
		}
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			h := d.up(t)
			r.has(d.from, h.hasA)
			if *only == "" {
				t.Run("libvirt's flags", func(t *testing.T) { testFlags(t, h.A) })
			}
			for _, c := range chosen {
				t.Run(c.name, func(t *testing.T) {
					var fault string
					t.Cleanup(func() { r.add(d, c, t.Failed(), fault) })
					fault = c.run(newStage(t, h, c))
				})
			}
		})
	}
	if *results != "" {
		t.Cleanup(func() {
			if err := r.write(*results); err != nil {
				t.Error(err)
			}
		})
	}
}
