package control

import (
	"context"
	"net/http"
)

// Where a guest is, in an operator's word.
const (
	Here  = "here"
	There = "there"
)

// ResolveRequest is an operator's word for what became of a guest that has left, where its
// destination can't be asked.
type ResolveRequest struct {
	Guest string `json:"guest"` // name or UUID
	Runs  string `json:"runs"`  // Here: it goes on at this host; There: it runs at its destination, or has
}

// Check says what is wrong with a request.
func (r *ResolveRequest) Check() error {
	switch {
	case r.Guest == "":
		return WrongUse("which guest?")
	case r.Runs != Here && r.Runs != There:
		return WrongUse("where does guest %s run: %q or %q?", r.Guest, Here, There)
	}
	return nil
}

// Resolve gives the daemon an operator's word. A refusal is an *Error.
func (c *Client) Resolve(ctx context.Context, req *ResolveRequest) error {
	return c.ask(ctx, http.MethodPost, "/v1/resolve", req, new(struct{}))
}
