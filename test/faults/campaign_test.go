package faults

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// caseTimeout bounds one case.
const caseTimeout = 6 * time.Minute

func TestFaults(t *testing.T) {
	lab.Require(t)
	if _, err := sluice.Programs(); err != nil {
		t.Fatal(err)
	}
	rec := newRecord()
	run := 0
	for _, c := range selected(t) {
		run++
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			r := c.run(t)
			if err := rec.add(r); err != nil {
				t.Error(err)
			}
			if known := knownBad[c.name()]; known != "" && r.Problem != "" {
				t.Logf("known bad (%s): %s", known, r.Problem)
			} else if r.Problem != "" {
				t.Error(r.Problem)
			}
			t.Logf("%s; caller: %s; %s; %s", r.Outcome, r.Caller, r.Took, strings.Join(r.Notes, "; "))
		})
	}
	if run == 0 {
		t.Fatalf("no case is %q", *only)
	}
}

// selected are the cases that the flags ask for.
func selected(t *testing.T) (list []*testCase) {
	var match *regexp.Regexp
	if *only != "" {
		var err error
		if match, err = regexp.Compile("^(?:" + *only + ")$"); err != nil {
			t.Fatal(err)
		}
	}
	table := cases()
	if match != nil { // also one that the table has not
		table = everything()
	}
	for _, c := range table {
		switch {
		case match != nil && !match.MatchString(c.name()), match == nil && !*all && !slices.Contains(sample, c.name()):
			continue
		}
		list = append(list, c)
	}
	return list
}

// everything is each combination that can be.
func everything() (list []*testCase) {
	for _, f := range faults() {
		for _, m := range moments {
			for _, w := range append(slices.Clone(ways), plain) {
				for _, k := range kinds {
					if c := (&testCase{w, k, m, f}); c.possible() {
						list = append(list, c)
					}
				}
			}
		}
	}
	return list
}

// run carries out one case.
func (c *testCase) run(t *testing.T) *result {
	ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
	defer cancel()
	r := &result{Case: c.name(), Seed: *seed}
	begun := time.Now()
	s, err := newStage(ctx, c, t.TempDir())
	if err == nil {
		err = s.play()
	}
	if err == nil {
		s.judge(r)
	} else {
		r.fault("the case could not be played: %v", err)
	}
	if r.Problem != "" {
		t.Log(s.logs())
	}
	if err := s.close(); err != nil {
		r.fault("afterwards: %v", err)
	}
	r.Notes = s.notes
	r.Took = time.Since(begun)
	return r
}

// play starts the migration, strikes it at its moment, and returns when the fault has ended and the
// caller too.
func (s *stage) play() error {
	m, f := s.c.moment, s.c.fault
	args, err := s.c.way.command(s)
	if err != nil {
		return err
	}
	var release func()
	if !m.first {
		if s.caller, err = s.call(args); err != nil {
			return err
		}
		if release, err = m.await(s); err != nil {
			return err
		}
		if !m.over { // faults do not come on the dot
			s.paused(time.Duration(s.rng.Int64N(int64(20*time.Millisecond))), nil)
		}
	}
	s.struck = time.Now()
	if s.missed && f.hits == "qemu-a" {
		return nil // there is none
	}
	if err := f.strike(s); err != nil {
		return fmt.Errorf("strike: %w", err)
	}
	if m.first {
		if s.caller, err = s.call(args); err != nil {
			return err
		}
	}
	if release != nil {
		release()
	}
	if f.mend != nil {
		lasts := f.lasts
		if lasts == forGood {
			s.awaitVerdict(s.c.due().within)
		} else {
			s.paused(lasts, nil)
		}
		s.mended = time.Now()
		if err := f.mend(s); err != nil {
			return fmt.Errorf("mend: %w", err)
		}
	}
	return nil
}

// awaitVerdict waits until the caller has ended, or it is told that nobody can tell.
func (s *stage) awaitVerdict(most time.Duration) {
	s.wait("a verdict", most, func() (bool, error) { return !s.caller.running() || s.overdue(), nil })
}

// overdue says whether host-a's sluice tells that nobody can tell.
func (s *stage) overdue() bool {
	for _, l := range s.status(s.site.A).Leaving {
		if l.Overdue {
			return true
		}
	}
	return false
}
