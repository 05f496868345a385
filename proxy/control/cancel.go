package control

import (
	"context"
	"net/http"
)

// CancelRequest asks for the end of a guest's migration, whoever runs it, at either of its hosts.
type CancelRequest struct {
	Guest string `json:"guest"` // name or UUID; or the session's ID
}

// Check says what is wrong with a request.
func (r *CancelRequest) Check() error {
	if r.Guest == "" {
		return WrongUse("which guest?")
	}
	return nil
}

// CancelReply is how the migration ended. It may have been too late: Outcome tells.
type CancelReply struct {
	Session   string `json:"session,omitempty"` // empty: libvirt's job was aborted, of which sluice had no session
	Guest     string `json:"guest"`
	Peer      string `json:"peer,omitempty"`
	Direction string `json:"direction"`
	Outcome   string `json:"outcome"` // as of a migration
	Cause     string `json:"cause,omitempty"`
}

// Cancel cancels a migration and waits for its end. A refusal is an *Error.
func (c *Client) Cancel(ctx context.Context, req *CancelRequest) (*CancelReply, error) {
	reply := new(CancelReply)
	return reply, c.ask(ctx, http.MethodPost, "/v1/cancel", req, reply)
}
