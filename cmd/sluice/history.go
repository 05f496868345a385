package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/proxy/control"
)

const historyHelp = `Show the migrations of this host that have ended, the newest first: of all
guests, or of GUEST (its name or UUID). They are kept over restarts of the
daemon, by default 1,000 of them and for 90 days.

TIME is a day (2026-01-31), a moment (2026-01-31 14:00, 2026-01-31T14:00:00Z),
or how long ago (90m, 12h, 7d). sluice report says more about one of them.

Exit status: 0 shown, 1 the daemon was not reached, 2 wrong use.`

const historyExamples = `  sluice history
  sluice history web1
  sluice history --failed --since 7d
  sluice history --limit 0 --json | jq -r '.sessions[].guest'`

// historyLimit is how many are shown by default.
const historyLimit = 50

func newHistory(io streams) *cobra.Command {
	var socket, since string
	var asJSON bool
	q := &control.HistoryQuery{}
	cmd := &cobra.Command{
		Use:               "history [GUEST]",
		Short:             "Show the migrations that have ended",
		Long:              historyHelp,
		Example:           historyExamples,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completed(endedGuests),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				q.Guest = args[0]
			}
			if q.Since, err = moment(since, time.Now()); err != nil {
				return fmt.Errorf("--since: %w", err)
			}
			if q.Limit < 0 {
				return fmt.Errorf("--limit takes a number from 0 (all) up, not %d", q.Limit)
			}
			return showHistory(cmd.Context(), io, control.New(socket), q, asJSON)
		},
	}
	cmd.Flags().BoolVar(&q.Failed, "failed", false, "only those that did not move their guest: failed, cancelled, or unknown")
	cmd.Flags().StringVar(&since, "since", "", "only those that ended after `TIME`")
	cmd.Flags().IntVar(&q.Limit, "limit", historyLimit, "at most `N` of them; 0: all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	addSocket(cmd.Flags(), &socket)
	return cmd
}

// moments are how a time may be written. Those without a zone are in the local one.
var moments = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly}

// moment reads a time, or how long ago it was.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range moments {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	var days int
	var rest string
	if n, _ := fmt.Sscanf(text+" .", "%dd %s", &days, &rest); n == 2 && days > 0 {
		return now.AddDate(0, 0, -days), nil
	}
	if age, err := time.ParseDuration(text); err == nil && age > 0 {
		return now.Add(-age), nil
	}
	return time.Time{}, fmt.Errorf("%q is neither a time, such as 2026-01-31 or \"2026-01-31 14:00\", nor how long ago, such as 90m, 12h or 7d", text)
}

func showHistory(ctx context.Context, io streams, c *control.Client, q *control.HistoryQuery, asJSON bool) error {
	asked := *q
	if q.Limit > 0 && !asJSON {
		asked.Limit++ // to know whether there are more
	}
	ctx, stop := context.WithTimeoutCause(ctx, answerPatience, errNoAnswer)
	defer stop()
	h, err := c.History(ctx, &asked)
	if err != nil {
		return asked403(err)
	}
	if asJSON {
		if err := json.NewEncoder(io.out).Encode(h); err != nil {
			return failed(fmt.Errorf("write history: %w", err))
		}
		return nil
	}
	width := columns(io.out)
	writeLines(io.out, historyLines(h, q, width))
	return nil
}

// historyLines is h for a person.
func historyLines(h *control.History, q *control.HistoryQuery, width int) (lines []string) {
	if h.Problem != "" {
		lines = append(lines, wrap("History is not whole: "+oneLine(h.Problem), width)...)
	}
	if h.File == "" {
		lines = append(lines, wrap(fmt.Sprintf("%s keeps no history (state_dir): only what ended since its daemon's start is known.", oneLine(h.Host)), width)...)
	}
	all := h.Sessions
	more := q.Limit > 0 && len(all) > q.Limit
	if more {
		all = all[:q.Limit]
	}
	if len(all) == 0 {
		return append(lines, "No migration has ended that was asked for.")
	}
	t := table{columns: []column{
		{"ENDED", 0}, {"GUEST", 0}, {"DIR", 0}, {"PEER", 0}, {"OUTCOME", 0}, {"TOOK", 1}, {"PAUSED", 3}, {"BYTES", 2}, {"ASKED BY", 4}, {"TLS", 6}, {"SESSION", 5},
	}}
	for _, s := range all {
		paused := ""
		if s.Downtime > 0 {
			paused = span(s.Downtime)
		}
		r := t.row(s.Ended.Local().Format(time.DateTime), guest(s.SessionStatus), s.Direction, s.Peer, s.Outcome, span(s.Ended.Sub(s.Started)), paused,
			size(s.Sent+s.Received), s.Asked.String(), s.TLS, shortID(s.ID))
		if s.Cause != "" {
			r.add(s.Cause)
		}
	}
	lines = append(lines, t.lines(width)...)
	if more {
		lines = append(lines, "", fmt.Sprintf("These are the newest %d: --limit 0 shows all.", q.Limit))
	}
	return lines
}

// shortID is as much of a session's ID as tells it from others, as in metrics.
func shortID(id string) string { return id[:min(8, len(id))] }

// answerPatience is how long a daemon may take for an answer that takes it no work.
const answerPatience = 15 * time.Second

var errNoAnswer = fmt.Errorf("no answer for %v: the daemon hangs; its log, or its goroutines (SIGQUIT), say where", answerPatience)

// asked403 is the error of a question that was refused, or not answered.
func asked403(err error) error {
	var refused *control.Error
	if errors.As(err, &refused) && (refused.Code == 400 || refused.Code == 403 || refused.Code == 404) {
		return wrongUse(err)
	}
	return failed(err)
}

// clock is a time of a report.
func clock(at time.Time) string { return at.Local().Format("2006-01-02 15:04:05 MST") }
