// Package telemetrytest has a collector of traces for tests: it takes OTLP over HTTP, and keeps what
// it gets.
package telemetrytest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector takes traces. It is an http.Handler, and its zero value is ready.
type Collector struct {
	mu    sync.Mutex
	spans []*trace.Span
	of    []*resource.Resource
	fail  int
}

func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	req := new(collector.ExportTraceServiceRequest)
	if err == nil {
		err = proto.Unmarshal(raw, req)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces":
		http.Error(w, fmt.Sprintf("%s %s is no traces: %v", r.Method, r.URL.Path, err), http.StatusBadRequest)
		return
	case c.fail != 0:
		w.WriteHeader(c.fail)
		return
	}
	for _, rs := range req.ResourceSpans {
		c.of = append(c.of, rs.Resource)
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	answer, _ := proto.Marshal(new(collector.ExportTraceServiceResponse))
	w.Write(answer)
}

// Fail has it answer with a status from now on, and take nothing; 0: it takes what comes.
func (c *Collector) Fail(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = status
}

// Spans are those that it has taken.
func (c *Collector) Spans() []*trace.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Resources are who has sent them, one for each time.
func (c *Collector) Resources() []*resource.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.of)
}
