package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
)

// ErrNoResult means that a migration was asked for and its outcome is not known to this client: the
// daemon's answer ended, or was not waited for. The daemon, if it lives, aborts such a migration.
var ErrNoResult = errors.New("the migration's outcome is not known")

// Migrate asks for one migration and blocks until its Result, whatever the outcome. Each Progress
// is handed to report, in order, on the calling goroutine; report may be nil.
//
// When cancel is closed the migration is cancelled and Migrate still waits for the Result. When ctx
// ends Migrate returns at once, without one; the daemon then aborts the migration.
//
// Errors: an *Error is a refusal, with nothing started; ErrNoResult is wrapped by every error after
// which the guest's place is not known; any other error means that the daemon was not reached.
func (c *Client) Migrate(ctx context.Context, cancel <-chan struct{}, req *MigrateRequest, report func(Progress)) (*Result, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()

	// Ending our half of the connection before the request is on its way whole
	// would spoil the request instead of cancelling the migration.
	written, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-written:
		case <-done:
			return
		}
		select {
		case <-cancel:
			conn.CloseWrite() // an error here is one of a connection that the reader sees end
		case <-done:
		}
	}()
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { close(written) },
	})
	resp, err := c.do(traced, conn, http.MethodPost, "/v1/migrate", req)
	if refused := (*Error)(nil); errors.As(err, &refused) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoResult, err)
	}
	defer resp.Body.Close()

	last, err := events(resp.Body, report)
	if err == nil && last.Result == nil {
		err = errors.New("the last event has no result")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoResult, c.wrap(ctx, "follow the migration", err))
	}
	return last.Result, nil
}

// Follow tells how far a session is, whoever has asked for it, and blocks until its end. name is a
// guest's name or UUID, or the session's ID, of which eight digits will do; where a guest has had
// several, the newest is meant. Each Progress is handed to report, in order, on the calling
// goroutine; report may be nil. A session that has ended already is returned at once.
//
// The session does not depend on its followers: when ctx ends, Follow returns, and nothing else
// happens. A refusal, such as that there is no such session (code 404), is an *Error.
func (c *Client) Follow(ctx context.Context, name string, report func(Progress)) (*SessionStatus, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	resp, err := c.do(ctx, conn, http.MethodGet, "/v1/sessions/"+url.PathEscape(name)+"/events", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	last, err := events(resp.Body, report)
	if err == nil && last.Session == nil {
		err = errors.New("the last event has no session")
	}
	if err != nil {
		return nil, c.wrap(ctx, "follow the session", err)
	}
	return last.Session, nil
}

// events reads a stream up to its last event. What follows that is not read.
func events(r io.Reader, report func(Progress)) (*Event, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), MaxLine)
	for s.Scan() {
		if len(s.Bytes()) == 0 {
			continue
		}
		var e Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("event is not JSON: %w", err)
		}
		if e.Progress != nil && report != nil {
			report(*e.Progress)
		}
		if e.Result != nil || e.Session != nil {
			return &e, nil
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("event longer than %d bytes", MaxLine)
	}
	if s.Err() != nil {
		return nil, s.Err()
	}
	return nil, io.ErrUnexpectedEOF
}
