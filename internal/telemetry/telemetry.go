//go:build !nogrpc

package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Bounds of what waits for the collector.
const (
	maxQueue      = 4096 // spans, some 20 a migration
	batchInterval = time.Second
	uploadTimeout = 5 * time.Second
	closeTimeout  = 2 * time.Second // for what is left at the daemon's end
)

// retry is for answers by which a collector asks for patience.
var retry = otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: 20 * time.Second}

// Tracer sends traces. A nil one sends none.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	out      *exporter
}

// Check says why this build sends no traces to a collector, or nil.
func Check(string) error { return nil }

// Start makes a Tracer, which is the caller's to close. It does not connect.
func Start(o Options) (*Tracer, error) {
	at, err := url.JoinPath(o.Collector, "v1/traces")
	var out *otlptrace.Exporter
	if err == nil {
		// Migrations are too rare for a connection to be kept.
		client := &http.Client{Timeout: uploadTimeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
		out, err = otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(at), otlptracehttp.WithHTTPClient(client), otlptracehttp.WithRetry(retry))
	}
	if err != nil {
		return nil, fmt.Errorf("send traces to %s: %w", o.Collector, err)
	}
	who := resource.NewSchemaless(attribute.String("service.name", "sluice"), attribute.String("service.version", o.Version), attribute.String("host.name", o.Host))
	e := &exporter{SpanExporter: out, log: o.Log.With().Str("otlp", o.Collector).Logger(), closed: make(chan struct{})}
	e.working, e.stop = context.WithCancel(context.Background())
	p := sdk.NewTracerProvider(sdk.WithResource(who), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithIDGenerator(identities{}),
		sdk.WithBatcher(e, sdk.WithMaxQueueSize(maxQueue), sdk.WithBatchTimeout(batchInterval)))
	return &Tracer{p, p.Tracer("github.com/virt-sluice/sluice"), e}, nil
}

// Ended sends the trace of a session that has ended, at some time soon. It does not wait.
func (t *Tracer) Ended(r *control.SessionRecord) {
	if t != nil {
		t.record(r)
	}
}

// Close sends what is left, if the collector takes it soon. Nothing is sent once it has returned.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	t.provider.Shutdown(ctx) // what was wrong is in the log already
	t.out.stop()             // of what the SDK goes on to send, whatever ctx says
	<-t.out.closed
}

// exporter tells once that the collector takes nothing, and once that it does again.
type exporter struct {
	sdk.SpanExporter
	log     zerolog.Logger
	working context.Context // until stop
	stop    context.CancelFunc
	closed  chan struct{}

	mu      sync.Mutex
	refused bool
}

// Shutdown follows the last ExportSpans.
func (e *exporter) Shutdown(ctx context.Context) error {
	defer close(e.closed)
	return e.SpanExporter.Shutdown(ctx)
}

func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if e.working.Err() != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.working, cancel)()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	before := e.refused
	e.refused = err != nil
	e.mu.Unlock()
	switch {
	case err != nil && !before:
		e.log.Error().Err(err).Msg("traces can't be sent; migrations go on, and their traces are lost until they can be")
	case err == nil && before:
		e.log.Info().Msg("traces are sent again")
	}
	return nil // for which the SDK has a log of its own
}
