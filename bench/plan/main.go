// Plan compares what sluice plan says of a migration with what then happens: the total time, the
// guest's downtime, and whether it ends. lab.Kinds are planned and moved, one after the other, and
// that which changes more than the link carries also by what is to bring it to an end:
//
//	postcopy  by post-copy after one pass
//	slowed    by auto-converge
//
// A prediction counts as right if it is within 30 % of the outcome. Below each guest's line are the
// plan's estimate, and what libvirt and sluice say of the migration, as JSON. The link is of 1 Gbit/s by
// default. On a busy machine emulators and TLS get less than that through, which no plan can know:
// --link lowers it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/proxy/control"
)

// timeout is for how long a guest is moved.
const timeout = 40 * time.Second

// right is how far a prediction may be from the outcome.
const right = 0.3

type guest struct {
	name string
	spec lab.GuestSpec
	args []string // of sluice plan and sluice migrate
}

// guestsFor are those for a link of so many MiB per second.
func guestsFor(link int) (all []guest) {
	for _, spec := range lab.Kinds(link) {
		all = append(all, guest{name: spec.Name, spec: spec})
		if spec.Name == "above" {
			all = append(all, guest{"postcopy", spec, []string{"--postcopy"}}, guest{"slowed", spec, []string{"--auto-converge"}})
		}
	}
	return all
}

func main() {
	binary := flag.String("sluice", "bin/sluice", "the sluice `PROGRAM` to measure")
	link := flag.Int("link", lab.Gigabit>>20, "the link's rate in `MiB/s`")
	rounds := flag.Int("rounds", 1, "how `OFTEN` each guest is moved")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *binary, *link, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "plan:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, link, rounds int) (err error) {
	if link < 32 || link > 300 {
		return errors.New("--link is from 32 to 300 MiB/s: the guests' memory goes by it, and QEMU samples none of less than 128 MiB")
	}
	l, s, err := site.Up(ctx, int64(link)<<20, site.Options{Binary: binary})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop(), l.Down()) }()
	fmt.Printf("%-8s  %9s  %9s  %5s  %9s  %9s  %5s  %s\n", "guest", "total", "planned", "", "downtime", "planned", "", "the plan's figures")
	totals, downtimes := new(tally), new(tally)
	for range rounds {
		for _, g := range guestsFor(link) {
			if err := compare(ctx, s, g, totals, downtimes); err != nil {
				return fmt.Errorf("guest %s: %w", g.name, err)
			}
		}
	}
	fmt.Printf("\n%v of total times, and %v of downtimes, are within %.0f %%\n", totals, downtimes, right*100)
	return nil
}

// tally counts predictions.
type tally struct{ right, all int }

func (t *tally) count(ok bool) {
	if t.all++; ok {
		t.right++
	}
}

func (t *tally) String() string { return fmt.Sprintf("%d of %d predictions", t.right, t.all) }

// compare plans a guest's migration, makes it, counts and prints one line.
func compare(ctx context.Context, s *site.Site, of guest, totals, downtimes *tally) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	of.spec.Name = of.name
	g, err := s.A.Host.StartGuest(ctx, of.spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Destroy(context.WithoutCancel(ctx))) }()
	out, err := s.A.Command(ctx, append([]string{"plan", of.name, "host-b", "--json"}, of.args...)...).Output()
	if err != nil {
		return fmt.Errorf("sluice plan: %w: %s", err, out)
	}
	p := new(control.Plan)
	if err := json.Unmarshal(out, p); err != nil {
		return err
	}
	e := p.Estimate
	if e == nil || e.Outlook == nil {
		return fmt.Errorf("the plan has no estimate: %s", out)
	}
	r, err := s.A.Migrate(ctx, of.name, append([]string{"--timeout", fmt.Sprint(timeout.Seconds())}, of.args...)...)
	if r == nil {
		return err
	}
	figures := fmt.Sprintf("%d MiB, link %d MiB/s, hot %d MiB at %d MiB/s, %d passes", e.Memory>>20, e.LinkRate>>20, e.HotMemory>>20, e.DirtyRate>>20, e.Outlook.Passes)
	moved, planned := r.Outcome == control.Moved, e.Outlook.Converges && e.Outlook.Total < timeout
	if !moved || !planned {
		fmt.Printf("%-8s  moved within %v: %t, planned: %t; %s\n", of.name, timeout, moved, planned, figures)
		totals.count(moved == planned)
		return details(ctx, s, of.name, e, r)
	}
	total := part(e.Outlook.Total, r.Elapsed)
	came, apart := "not told", "" // of post-copy
	if r.Downtime > 0 {
		off := part(e.Outlook.Downtime, r.Downtime)
		came, apart = r.Downtime.Round(time.Millisecond).String(), percent(off)
		downtimes.count(math.Abs(off) <= right)
	}
	fmt.Printf("%-8s  %9s  %9s  %5s  %9s  %9s  %5s  %s\n", of.name, r.Elapsed.Round(10*time.Millisecond), e.Outlook.Total, percent(total),
		came, e.Outlook.Downtime, apart, figures)
	totals.count(math.Abs(total) <= right)
	return details(ctx, s, of.name, e, r)
}

// details prints the figures that a wrong prediction is explained by.
func details(ctx context.Context, s *site.Site, guest string, e *control.Estimate, r *control.Result) error {
	job := make(map[string]string)
	if r.Outcome == control.Moved { // of a job that failed libvirt keeps nothing
		said, err := s.A.Host.Virsh(ctx, "domjobinfo", guest, "--completed", "--rawstats")
		if err != nil {
			job["error"] = err.Error()
		}
		for line := range strings.Lines(said) {
			if name, value, ok := strings.Cut(line, ":"); ok {
				job[name] = strings.TrimSpace(value)
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"estimate": e, "job": job, "result": r})
}

// part is how far a prediction is from what came, as a part of that.
func part(planned, came time.Duration) float64 { return float64(planned-came) / float64(came) }

func percent(part float64) string { return fmt.Sprintf("%+.0f%%", part*100) }
