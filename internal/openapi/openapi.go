// Package openapi asks a daemon as docs/openapi.yaml describes it, and fails a test where a request
// or an answer is not as it is described there, or has a member that is not. It is for tests alone.
package openapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Client asks one daemon.
type Client struct {
	t    testing.TB
	http *http.Client
	doc  *openapi3.T

	mu    sync.Mutex
	asked map[*openapi3.Operation]bool
}

// New is a client of the daemon whose control socket is at path. dial connects; nil is as net does.
func New(t testing.TB, path string, dial func() (net.Conn, error)) *Client {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(filepath.Dir(here), "../../docs/openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// What is not described may be added later, so the document allows it; here it is a fault.
	for _, s := range doc.Components.Schemas {
		s.Value.AdditionalProperties = openapi3.BoolSchema{Has: new(bool)}
	}
	if dial == nil {
		dial = func() (net.Conn, error) { return net.Dial("unix", path) }
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }}
	return &Client{t: t, http: &http.Client{Transport: transport}, doc: doc, asked: make(map[*openapi3.Operation]bool)}
}

// Ask makes a request, of which path is as in the document, name stands for {name}, and body, if
// not nil, is sent as JSON. It hands each object of the answer to each, if that is not nil, and
// returns the status; 0 if there is none. It may be called on any goroutine.
func (c *Client) Ask(method, path, name, query string, body any, each func(json.RawMessage)) int {
	c.t.Helper()
	item := c.doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		c.t.Errorf("docs/openapi.yaml has no %s %s", method, path)
		return 0
	}
	op := item.GetOperation(method)
	c.mu.Lock()
	c.asked[op] = true
	c.mu.Unlock()
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			c.t.Error(err)
			return 0
		}
		c.judge(method+" "+path+": the request", op.RequestBody.Value.Content["application/json"], sent)
	}
	at := url.URL{Scheme: "http", Host: "sluice", RawQuery: query, Path: strings.ReplaceAll(path, "{name}", name)}
	req, err := http.NewRequestWithContext(c.t.Context(), method, at.String(), bytes.NewReader(sent))
	if err != nil {
		c.t.Error(err)
		return 0
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	what, described := fmt.Sprintf("%s %s: answer %d", method, path, resp.StatusCode), op.Responses.Status(resp.StatusCode)
	if described == nil {
		described = op.Responses.Default()
	}
	kind := resp.Header.Get("Content-Type")
	content := described.Value.Content[kind]
	if content == nil {
		c.t.Errorf("%s is %q, which is not described", what, kind)
		return 0
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, control.MaxStatus)
	n := 0
	for ; lines.Scan(); n++ {
		c.judge(what, content, lines.Bytes())
		if each != nil {
			each(bytes.Clone(lines.Bytes()))
		}
	}
	if err := lines.Err(); err != nil || n == 0 || n > 1 && kind == "application/json" {
		c.t.Errorf("%s has %d lines (%v)", what, n, err)
	}
	return resp.StatusCode
}

// Unasked are the requests of the document that have not been made.
func (c *Client) Unasked() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !c.asked[op] {
				all = append(all, method+" "+path)
			}
		}
	}
	return all
}

// judge compares JSON with its description.
func (c *Client) judge(what string, described *openapi3.MediaType, data []byte) {
	c.t.Helper()
	var value any
	err := json.Unmarshal(data, &value)
	if err == nil {
		err = described.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation(), openapi3.MultiErrors())
	}
	if err != nil {
		c.t.Errorf("%s is not as docs/openapi.yaml says: %v\n%.2000s", what, err, data)
	}
}
