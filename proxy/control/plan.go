package control

import (
	"context"
	"net/http"
	"time"
)

// PlanRequest asks what can be known of a migration before it is made.
type PlanRequest struct {
	MigrateRequest
	Unmeasured bool `json:"unmeasured,omitempty"` // leave out the estimate, which takes some seven seconds
}

// Plan is what can be known of a migration before it is made.
type Plan struct {
	Guest       string         `json:"guest"`
	UUID        string         `json:"uuid"`
	Source      string         `json:"source"`
	Destination string         `json:"destination"`
	Time        time.Time      `json:"time"`
	Possible    bool           `json:"possible"` // nothing was found that keeps it from working
	Findings    []Finding      `json:"findings"`
	Errors      int            `json:"errors"`
	Warnings    int            `json:"warnings"`
	Unknown     int            `json:"unknown"` // findings that say what could not be known
	Disks       []PlannedDisk  `json:"disks,omitempty"`
	Memory      *PlannedMemory `json:"memory,omitempty"` // nil for a definition alone
	// Room is how many migrations like this one both hosts have a place for at once, beside what is
	// under way; 0: there is none now, or the destination does not say.
	Room     int       `json:"room"`
	Estimate *Estimate `json:"estimate,omitempty"` // nil of a definition alone, where the destination has no sluice, and if it was not asked for
}

// Estimate is how long a migration would take, by what was measured for it.
type Estimate struct {
	Memory      uint64        `json:"memory"`            // bytes that are not zero, as far as libvirt tells
	Disks       uint64        `json:"disks,omitempty"`   // bytes that are copied before
	HotMemory   uint64        `json:"hot_memory"`        // bytes that the guest changes again and again
	DirtyRate   uint64        `json:"dirty_rate"`        // bytes per second that it changes at the least
	LinkRate    uint64        `json:"link_rate"`         // bytes per second that get through to the destination; 0: not known
	RoundTrip   time.Duration `json:"round_trip_ns"`     // that a question to the destination and its answer take
	MaxDowntime time.Duration `json:"max_downtime_ns"`   // that QEMU allows itself; 0: not known
	Outlook     *Outlook      `json:"outlook,omitempty"` // as the migration was asked for; nil where the link or what the guest changes is not known
	Means       []Means       `json:"means,omitempty"`   // by which it would converge, where it does not
	Goal        *PlannedGoal  `json:"goal,omitempty"`    // that the migration would have; nil: none, or there is no outlook
}

// PlannedGoal is what a migration with --auto is to reach, and what it would come to.
type PlannedGoal struct {
	MaxDowntime time.Duration `json:"max_downtime_ns"`
	Deadline    time.Duration `json:"deadline_ns,omitempty"` // 0: none
	Allow       []string      `json:"allow,omitempty"`       // what may be done to the guest: slow, postcopy, pause
	Ends        string        `json:"ends"`                  // how: itself, slow, postcopy, pause, deadline (it is aborted then) or never
}

// How a migration with a goal ends that needs nothing of what may be allowed, or that does not get
// there. Else it is by what is allowed.
const (
	EndsItself   = "itself"
	EndsDeadline = "deadline"
	EndsNever    = "never"
)

// Outlook is how a migration would go.
type Outlook struct {
	Converges bool          `json:"converges"` // it ends, and by the deadline if there is one
	Passes    int           `json:"passes,omitempty"`
	Total     time.Duration `json:"total_ns,omitempty"`    // until the guest runs at the destination; of one that does not end in time, what it would take
	Downtime  time.Duration `json:"downtime_ns,omitempty"` // for which it stands still
	Sent      uint64        `json:"sent,omitempty"`        // bytes of memory
	Remaining uint64        `json:"remaining,omitempty"`   // bytes that would be left again and again, where it does not end
}

// Means are an option that would make a migration converge.
type Means struct {
	Option string `json:"option"` // as sluice migrate takes it
	Outlook
}

// PlannedMemory is what the guest takes of the destination's memory.
type PlannedMemory struct {
	Needed   uint64 `json:"needed"`              // bytes that the guest may come to need there
	HugePage uint64 `json:"huge_page,omitempty"` // size in bytes of the huge pages that it has; 0: none, or of several sizes
	Free     uint64 `json:"free,omitempty"`      // bytes there that are free, in huge pages where the guest has such; 0: none, or not known
	Known    bool   `json:"known"`               // the destination has said what is free
}

// PlannedDisk is one of the guest's disks and drives, and what the destination has in its place.
type PlannedDisk struct {
	Target string `json:"target"` // such as vda
	Device string `json:"device"` // disk, cdrom, floppy
	Source string `json:"source"` // path, or pool and volume, or what else it is, by the destination's description
	Format string `json:"format,omitempty"`
	Size   uint64 `json:"size,omitempty"` // bytes that the guest sees; 0: not known
	Copied bool   `json:"copied"`         // by this migration; else it has to be there

	There       bool   `json:"there"`
	ThereFormat string `json:"there_format,omitempty"`
	ThereSize   uint64 `json:"there_size,omitempty"`
	Unknown     string `json:"unknown,omitempty"` // why it can't be told what is there
}

// Plan asks what can be known of a migration, which is not made. A refusal is an *Error.
func (c *Client) Plan(ctx context.Context, req *PlanRequest) (*Plan, error) {
	p := new(Plan)
	if err := c.ask(ctx, http.MethodPost, planPath, req, p); err != nil {
		return nil, err
	}
	return p, nil
}

const planPath = "/v1/plan"

func (h *Handler) plan(ctx context.Context, req *PlanRequest) (*Plan, error) {
	if req.PostCopyResume {
		return nil, WrongUse("a post-copy that is to be resumed can't be planned: a part of the guest is at its destination already")
	}
	return h.Plan(ctx, req)
}
