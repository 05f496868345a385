package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Client asks one daemon. Each request has a connection of its own, which is
// closed when the request ends. Use New.
type Client struct {
	socket string
}

// New is a client of the daemon whose control socket is at path; empty means
// DefaultSocket. It does not connect.
func New(path string) *Client {
	if path == "" {
		path = DefaultSocket
	}
	return &Client{socket: path}
}

// Status asks what the daemon is doing.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	st := new(Status)
	if err := c.ask(ctx, http.MethodGet, "/v1/status", nil, st); err != nil {
		return nil, err
	}
	return st, nil
}

// Check asks for a check. An error that wraps ErrNoDaemon means that no daemon was there to ask.
func (c *Client) Check(ctx context.Context, req *CheckRequest) (*Report, error) {
	r := new(Report)
	if err := c.ask(ctx, http.MethodPost, "/v1/check", req, r); err != nil {
		return nil, err
	}
	return r, nil
}

// ask makes a request whose answer is one object.
func (c *Client) ask(ctx context.Context, method, path string, req, out any) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := c.do(ctx, conn, method, path, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxStatus+1))
	if err != nil {
		return c.wrap(ctx, "read the daemon's answer", err)
	}
	if len(body) > MaxStatus {
		return fmt.Errorf("the answer from %s is larger than %d bytes", c.socket, MaxStatus)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the answer from %s: %w; is another program listening there?", c.socket, err)
	}
	return nil
}

// ErrNoDaemon means that nothing listens at the control socket.
var ErrNoDaemon = errors.New("no sluice daemon answers")

// do sends one request over conn, which stays the caller's to close, and waits
// for the answer's header. A status other than 200 is an *Error.
func (c *Client) do(ctx context.Context, conn *net.UnixConn, method, path string, body any) (*http.Response, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	t := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives:  true,
		DisableCompression: true,
	}
	// The host is never looked up; it is there because HTTP/1.1 wants one.
	req, err := http.NewRequestWithContext(ctx, method, "http://sluice"+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, c.wrap(ctx, "ask the daemon", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp, nil
}

func (c *Client) dial(ctx context.Context) (*net.UnixConn, error) {
	// A daemon that does not accept leaves a connection in its backlog; only a
	// full backlog blocks, and that for no good reason for long.
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(ctx, "unix", c.socket)
	switch {
	case err == nil:
		return conn.(*net.UnixConn), nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w at %s: start it (systemctl start sluice, or sluice serve --config FILE), or name its socket with --socket: %w", ErrNoDaemon, c.socket, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, &Error{Code: http.StatusForbidden, Message: fmt.Sprintf("this user may not use %s: run as root, or add the user to `users` in the daemon's configuration: %v", c.socket, err)}
	}
	return nil, fmt.Errorf("connect to the sluice daemon at %s: %w", c.socket, err)
}

// wrap names the socket in an error of its connection. What a transport says
// when its context has ended is noise beside the context's own cause.
func (c *Client) wrap(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		err = fmt.Errorf("the daemon ended the connection before its answer was complete (did it crash, or was it stopped? its log says): %w", err)
	}
	return fmt.Errorf("%s at %s: %w", doing, c.socket, err)
}

// refusal reads the Error that an answer other than 200 holds.
func refusal(resp *http.Response) error {
	e := &Error{Code: resp.StatusCode}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxLine))
	if err != nil || json.Unmarshal(body, e) != nil || e.Message == "" {
		e.Message = fmt.Sprintf("the daemon answered %s and gave no reason", resp.Status)
	}
	return e
}
