package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/virt-sluice/sluice/proxy/control"
)

const planHelp = `Find out whether GUEST, which runs on this host, can go to HOST, and how long
that takes, and change nothing on either.

It says every reason why not that can be known before, each with what to do: the
way to HOST, as sluice check has it; what libvirt here refuses to migrate; the
guest's CPU, machine type and devices there; free memory and huge pages; each
disk and drive, and what there is in its place; networks, secrets and firmware;
names and UUIDs that are taken. What HOST does not tell is listed as unknown.

For some seven seconds it measures how fast data gets through and what the guest
changes, and works out passes over memory, total time and downtime, or that the
migration does not end and what would end it.

Options are those of sluice migrate which the answer depends on. With others,
sluice migrate --dry-run does the same.

Exit status: 0 nothing keeps the guest from going, as far as is known, 1 it
can't go, or the daemon was not reached, 2 wrong use.`

const planExamples = `  sluice plan web1 host-b
  sluice plan web1 host-b --copy-storage-all --create-disks
  sluice plan web1 host-b --json | jq '.findings[] | select(.result == "error")'`

// planFlags are those of sluice migrate that sluice plan has, too.
var planFlags = []string{"copy-storage-all", "copy-storage-inc", "create-disks", "migrate-disks", "dname", "xml", "persistent", "offline", "postcopy", "auto-converge", "auto", "max-downtime", "deadline", "allow", "parallel-connections", "bandwidth", "unsafe", "tls"}

func newPlan(io streams) *cobra.Command {
	o := new(migrateOptions)
	cmd := &cobra.Command{
		Use:               "plan GUEST HOST",
		Short:             "Find out whether a guest can go to another host",
		Long:              planHelp,
		Example:           planExamples,
		ValidArgsFunction: completed(activeGuests, peers),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("plan takes two words, GUEST and HOST (such as `sluice plan web1 host-b`); %d given", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := o.request(cmd.Flags(), args[0], args[1])
			if err != nil {
				return err // with the hint at --help
			}
			return plan(cmd.Context(), io, o, req)
		},
	}
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.add(all)
	for _, name := range planFlags {
		cmd.Flags().AddFlag(all.Lookup(name))
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object")
	addSocket(cmd.Flags(), &o.socket)
	return cmd
}

// planPatience bounds a daemon's answer, each step of which has its own limit there.
const planPatience = 5 * time.Minute

func patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, planPatience, fmt.Errorf("no answer within %v", planPatience))
}

// plan has the daemon plan one migration, shows what it found and ends with its exit status.
func plan(ctx context.Context, io streams, o *migrateOptions, req *control.MigrateRequest) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, done := patiently(ctx)
	defer done()
	p, err := control.New(o.socket).Plan(ctx, &control.PlanRequest{MigrateRequest: *req})
	if err != nil {
		return notAsked(err)
	}
	if o.json {
		err = json.NewEncoder(io.out).Encode(p)
	} else {
		err = writePlan(io.out, p, columns(io.out))
	}
	switch {
	case err != nil:
		return failed(fmt.Errorf("write the plan: %w", err))
	case !p.Possible:
		return failed(nil)
	}
	return nil
}

// writePlan is a plan as the report that it is of both hosts, and what it comes to.
func writePlan(w io.Writer, p *control.Plan, columns int) error {
	r := &control.Report{Host: p.Source, By: control.ByDaemon, Findings: p.Findings, Errors: p.Errors, Warnings: p.Warnings}
	if err := writeReport(w, r, columns); err != nil {
		return err
	}
	says := "can go to"
	if !p.Possible {
		says = "can't go to"
	}
	text := fmt.Sprintf("%s %s %s", oneLine(p.Guest), says, oneLine(p.Destination))
	if p.Possible && p.Unknown > 0 {
		text += fmt.Sprintf(", as far as is known: %d of what was looked for is not known", p.Unknown)
	}
	if !p.Possible && p.Estimate != nil {
		text += "; once it can, by what is measured now:"
	}
	for _, text := range append([]string{text}, outlook(p.Estimate)...) {
		for _, line := range wrap(text, columns) {
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// outlook is an estimate in words.
func outlook(e *control.Estimate) (lines []string) {
	if e == nil {
		return nil
	}
	moves := fmt.Sprintf("%s of memory to send", size(e.Memory))
	if e.Disks > 0 {
		moves += fmt.Sprintf(" and %s of disks", size(e.Disks))
	}
	if e.LinkRate > 0 {
		moves += fmt.Sprintf("; %s/s get through", size(e.LinkRate))
	}
	if e.RoundTrip > 0 {
		moves += fmt.Sprintf(", and an answer takes %s", roundly(e.RoundTrip))
	}
	switch {
	case e.Outlook == nil && e.DirtyRate == 0:
	case e.DirtyRate == 0:
		moves += "; the guest changes next to nothing"
	case e.HotMemory == 0:
		moves += fmt.Sprintf("; the guest changes %s in a second, and other memory in the next", size(e.DirtyRate))
	default:
		moves += fmt.Sprintf("; the guest changes %s in a second, %s of it again and again", size(e.DirtyRate), size(e.HotMemory))
	}
	lines = append(lines, moves)
	switch o := e.Outlook; {
	case o == nil:
		return append(lines, "how long it takes is not known")
	case !o.Converges:
		return append(lines, endless(e)...)
	case e.Goal != nil:
		lines = append(lines, pursued(e.Goal))
	}
	return append(lines, "it takes "+goes(e.Outlook))
}

// endless is why a migration does not end, and what would end it.
func endless(e *control.Estimate) (lines []string) {
	if e.Goal != nil {
		lines = append(lines, pursued(e.Goal))
	}
	if o := e.Outlook; o.Total > 0 {
		lines = append(lines, fmt.Sprintf("by itself it takes about %s, which is too long", roundly(o.Total)))
	} else {
		lines = append(lines, fmt.Sprintf("it does not end by itself: the guest changes %s as fast as it gets through", size(o.Remaining)))
	}
	for _, m := range e.Means {
		lines = append(lines, fmt.Sprintf("  with %s: %s", oneLine(m.Option), goes(&m.Outlook)))
	}
	return lines
}

// pursued is a goal, and what it would come to.
func pursued(g *control.PlannedGoal) string {
	text := fmt.Sprintf("by --auto the guest may stand still for %v", g.MaxDowntime)
	if g.Deadline > 0 {
		text += fmt.Sprintf(", and has moved within %v", g.Deadline)
	}
	if len(g.Allow) > 0 {
		text += "; allowed besides: " + oneLine(strings.Join(g.Allow, ", "))
	}
	switch g.Ends {
	case control.EndsItself:
		return text + ". It ends by itself within that"
	case control.AllowSlow:
		return text + ". QEMU would slow it down"
	case control.AllowPostCopy:
		return text + ". It would be switched to post-copy"
	case control.AllowPause:
		return text + ". It would be stopped for longer"
	case control.EndsDeadline:
		return text + ". It would be aborted at the deadline, and go on here"
	}
	return text + ". It would not end"
}

// goes is an outlook for people, who take figures for as exact as they are written.
func goes(o *control.Outlook) string {
	return fmt.Sprintf("about %s in %s over memory, and the guest stands still for about %s", roundly(o.Total), passes(o.Passes), roundly(o.Downtime))
}

// roundly is a time with two digits.
func roundly(d time.Duration) time.Duration {
	to := time.Duration(1)
	for d/to >= 100 {
		to *= 10
	}
	return d.Round(to)
}

func passes(n int) string {
	if n == 1 {
		return "one pass"
	}
	return fmt.Sprintf("%d passes", n)
}
