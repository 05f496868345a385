package control

import (
	"context"
	"net/http"
	"time"
)

// Plan is what can be known of a migration before it is made. Its request is a MigrateRequest.
type Plan struct {
	Guest       string        `json:"guest"`
	UUID        string        `json:"uuid"`
	Source      string        `json:"source"`
	Destination string        `json:"destination"`
	Time        time.Time     `json:"time"`
	Possible    bool          `json:"possible"` // nothing was found that keeps it from working
	Findings    []Finding     `json:"findings"`
	Errors      int           `json:"errors"`
	Warnings    int           `json:"warnings"`
	Unknown     int           `json:"unknown"` // findings that say what could not be known
	Disks       []PlannedDisk `json:"disks,omitempty"`
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
func (c *Client) Plan(ctx context.Context, req *MigrateRequest) (*Plan, error) {
	p := new(Plan)
	if err := c.ask(ctx, http.MethodPost, planPath, req, p); err != nil {
		return nil, err
	}
	return p, nil
}

const planPath = "/v1/plan"

func (h *Handler) plan(ctx context.Context, req *MigrateRequest) (*Plan, error) {
	if req.PostCopyResume {
		return nil, WrongUse("a post-copy that is to be resumed can't be planned: a part of the guest is at its destination already")
	}
	return h.Plan(ctx, req)
}
