package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// SessionRecord is a session as history keeps it: how it ended, and how it went.
type SessionRecord struct {
	SessionStatus
	Keeper

	Phases  []PhaseStart `json:"phases"`
	Passes  []PassStart  `json:"passes,omitempty"` // over memory
	Notes   []Note       `json:"notes,omitempty"`
	Samples *Samples     `json:"samples,omitempty"` // nil in a list
}

// Keeper is the daemon that has kept a record.
type Keeper struct {
	Host    string `json:"host"`
	Version string `json:"version"`
	PID     int    `json:"pid"`
}

// PhaseStart is when a session entered a phase.
type PhaseStart struct {
	Phase string `json:"phase"`
	At    int64  `json:"at_ms"` // since the session's start
}

// PassStart is when a pass over the guest's memory was first seen. One that takes less than half a
// second may be missing.
type PassStart struct {
	Pass      uint64 `json:"pass"`       // from 1
	At        int64  `json:"at_ms"`      // since the session's start
	Remaining uint64 `json:"remaining"`  // bytes of the guest, then
	DirtyRate uint64 `json:"dirty_rate"` // bytes per second
}

// Kinds of a Note.
const (
	NoteDecision = "decision" // what sluice did about the migration, and why
	NoteLimit    = "limit"    // of the configuration or of the request, that was met
	NoteWarning  = "warning"
)

// Note is one thing about a session that somebody who looks for a reason wants to know.
type Note struct {
	At   int64  `json:"at_ms"` // since the session's start
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// Samples are figures of a session at some moments, a column for each. All have the same length, a
// few hundred at the most: their interval doubles when there are more.
type Samples struct {
	At        []int64  `json:"at_ms"`      // since the session's start
	Carried   []uint64 `json:"carried"`    // bytes, both ways, all channels
	Rate      []uint64 `json:"rate"`       // bytes per second
	Remaining []uint64 `json:"remaining"`  // bytes of the guest
	DirtyRate []uint64 `json:"dirty_rate"` // bytes per second
}

// Asker is who asked for a session: a process of this host's, or another host's certificate.
type Asker struct {
	UID  *uint32 `json:"uid,omitempty"`
	User string  `json:"user,omitempty"` // the uid's name, if it has one
	PID  int     `json:"pid,omitempty"`  // 0: not known

	Certificate string `json:"certificate,omitempty"` // the names in it
}

// String is the user or the certificate's names, empty if neither is known.
func (a *Asker) String() string {
	switch {
	case a == nil:
		return ""
	case a.Certificate != "":
		return a.Certificate
	case a.UID == nil:
		return ""
	case a.User != "":
		return a.User
	}
	return fmt.Sprintf("uid %d", *a.UID)
}

// CodeKilled stands in history for the code of a cause, where the daemon ended before its session.
const CodeKilled = "killed"

// HistoryStatus is where history is kept.
type HistoryStatus struct {
	File    string `json:"file,omitempty"`    // empty: only what ended since the daemon's start is known
	Problem string `json:"problem,omitempty"` // why what ended last is not kept, or not read
}

// HistoryQuery says which sessions are asked for. The zero value is all that are kept.
type HistoryQuery struct {
	Guest  string    // by name or UUID
	Failed bool      // those that ended otherwise than was asked for, cancelled ones too
	Since  time.Time // that ended then or later
	Limit  int       // the newest of them; 0: all
}

// History is sessions that ended, the newest first, without their samples.
type History struct {
	HistoryStatus
	Host     string          `json:"host"`
	Sessions []SessionRecord `json:"sessions"`
}

// Wants says whether a session is among those that are asked for.
func (q *HistoryQuery) Wants(s *SessionStatus) bool {
	failed := s.Outcome != "" && s.Outcome != Moved
	return (q.Guest == "" || s.Is(q.Guest)) && (!q.Failed || failed) && !s.Ended.Before(q.Since)
}

// Is says whether a session is meant by a guest's name or UUID, or by its own ID, of which the first
// eight digits will do.
func (s *SessionStatus) Is(name string) bool {
	return name != "" && (s.Guest == name || s.UUID == name || len(name) >= leastID && strings.HasPrefix(s.ID, name))
}

// leastID is how many digits of a session's ID name it.
const leastID = 8

// values are those of a URL.
func (q *HistoryQuery) values() url.Values {
	v := make(url.Values)
	if q.Guest != "" {
		v.Set("guest", q.Guest)
	}
	if q.Failed {
		v.Set("failed", "true")
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// queryOf reads what values writes.
func queryOf(v url.Values) (q *HistoryQuery, err error) {
	q = new(HistoryQuery)
	for name, values := range v {
		value := values[0]
		switch name {
		case "guest":
			q.Guest = value
		case "failed":
			q.Failed, err = strconv.ParseBool(value)
		case "since":
			q.Since, err = time.Parse(time.RFC3339Nano, value)
		case "limit":
			q.Limit, err = strconv.Atoi(value)
		default:
			return nil, WrongUse("history has no filter %.40q: guest, failed, since and limit", name)
		}
		if err != nil || q.Limit < 0 {
			return nil, WrongUse("history's filter %s is %.80q: failed is true or false, since a time such as 2026-01-31T12:00:00Z, limit a number", name, value)
		}
	}
	return q, nil
}

// History asks for sessions that ended.
func (c *Client) History(ctx context.Context, q *HistoryQuery) (*History, error) {
	h := new(History)
	path := "/v1/history"
	if v := q.values(); len(v) > 0 {
		path += "?" + v.Encode()
	}
	return h, c.ask(ctx, http.MethodGet, path, nil, h)
}

// Session asks for one session, live or ended, by its ID or by its guest, of whose the newest is
// meant.
func (c *Client) Session(ctx context.Context, name string) (*SessionRecord, error) {
	r := new(SessionRecord)
	return r, c.ask(ctx, http.MethodGet, "/v1/sessions/"+url.PathEscape(name), nil, r)
}

func (h *Handler) history(r *http.Request) (*History, error) {
	q, err := queryOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	return h.History(r.Context(), q)
}
