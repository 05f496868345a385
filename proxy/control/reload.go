package control

import (
	"context"
	"net/http"
	"time"
)

// ReloadPath is the request that only root may make.
const ReloadPath = "/v1/reload"

// Reloaded is what a reload came to.
type Reloaded struct {
	Files   []string `json:"files"`             // that the configuration was read from
	Added   []string `json:"added,omitempty"`   // peers
	Removed []string `json:"removed,omitempty"` // peers
	Restart []string `json:"restart,omitempty"` // keys that differ from what is in use until the daemon is restarted
	Notes   []string `json:"notes,omitempty"`   // what somebody should know, in words
}

// ConfigurationStatus is the configuration in use.
type ConfigurationStatus struct {
	Files   []string     `json:"files"` // that it was read from
	Loaded  time.Time    `json:"loaded"`
	Restart []string     `json:"restart,omitempty"` // keys that differ in the files, and take a restart
	Differs bool         `json:"differs"`           // the files are not as they were when it was read
	Refused *ReloadError `json:"refused,omitempty"` // why they were not taken over; nil: nobody has tried
}

// Reload has the daemon take over its configuration and its certificates as they are now. An error
// that is an *Error says what was not good, and that what was there before is in use.
func (c *Client) Reload(ctx context.Context) (*Reloaded, error) {
	r := new(Reloaded)
	return r, c.ask(ctx, http.MethodPost, ReloadPath, struct{}{}, r)
}
