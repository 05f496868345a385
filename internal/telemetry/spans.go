//go:build !nogrpc

package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/virt-sluice/sluice/proxy/control"
)

// record makes a session's spans: one for all of it, one for each phase, below the one of memory one
// for each pass, and the switch-over.
func (t *Tracer) record(r *control.SessionRecord) {
	first := firstSpan(r.ID, r.Direction)
	ctx, kind := context.WithValue(context.Background(), firstKey{}, first), trace.SpanKindClient
	if r.Direction == control.Incoming { // below that of the host that has opened it
		ctx, kind = trace.ContextWithRemoteSpanContext(ctx, firstSpan(r.ID, control.Outgoing)), trace.SpanKindServer
	}
	_, whole := t.tracer.Start(ctx, r.Kind, trace.WithSpanKind(kind), trace.WithTimestamp(r.Started), trace.WithAttributes(attributes(r)...))
	for _, n := range r.Notes {
		whole.AddEvent(valid(n.Text), trace.WithTimestamp(at(r, n.At)), trace.WithAttributes(attribute.String("sluice.note", n.Kind)))
	}
	if r.Outcome == control.Failed || r.Outcome == control.Unknown {
		whole.SetStatus(codes.Error, valid(r.Cause))
	}
	below := trace.ContextWithSpan(context.Background(), whole)
	for i, p := range r.Phases {
		from, to := at(r, p.At), r.Ended
		if i+1 < len(r.Phases) {
			to = at(r, r.Phases[i+1].At)
		}
		if p.Phase == control.PhaseDone {
			continue // is none any more
		}
		in := t.span(below, p.Phase, from, to)
		if p.Phase == control.PhaseMemory {
			t.passes(in, r, from, to)
		}
		if p.Phase == control.PhaseFinish {
			t.switchOver(below, r, from, to)
		}
	}
	whole.End(trace.WithTimestamp(r.Ended))
}

// passes are those over memory that began between two times.
func (t *Tracer) passes(below context.Context, r *control.SessionRecord, from, to time.Time) {
	for i, p := range r.Passes {
		begun, end := at(r, p.At), to
		if i+1 < len(r.Passes) {
			end = at(r, r.Passes[i+1].At)
		}
		if begun.Before(from) || !begun.Before(to) {
			continue
		}
		t.span(below, fmt.Sprintf("pass %d", p.Pass), begun, end, attribute.Int64("sluice.remaining", int64(p.Remaining)), attribute.Int64("sluice.dirty_rate", int64(p.DirtyRate)))
	}
}

// switchOver is while the guest ran at neither host: libvirt's downtime, up to the end of Finish, or,
// where nobody has said it, Finish itself.
func (t *Tracer) switchOver(below context.Context, r *control.SessionRecord, from, to time.Time) {
	if r.Downtime > 0 {
		from = to.Add(-r.Downtime)
	}
	t.span(below, "switch-over", from, to)
}

// span is one that has ended; below it others may be.
func (t *Tracer) span(below context.Context, name string, from, to time.Time, about ...attribute.KeyValue) context.Context {
	ctx, s := t.tracer.Start(below, name, trace.WithTimestamp(from), trace.WithAttributes(about...))
	s.End(trace.WithTimestamp(to))
	return ctx
}

// at is the time so many milliseconds after a session's start.
func at(r *control.SessionRecord, ms int64) time.Time {
	return r.Started.Add(time.Duration(ms) * time.Millisecond)
}

// valid is a text without bytes that are none: for one of them the whole batch would not be sent,
// whosever spans are in it.
func valid(text string) string { return strings.ToValidUTF8(text, "?") }

// attributes are what is known of a session, by the names that the log has for it.
func attributes(r *control.SessionRecord) []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("sluice.session", r.ID), attribute.String("sluice.work", r.Kind), attribute.String("sluice.direction", r.Direction),
		attribute.Int64("sluice.sent", int64(r.Sent)), attribute.Int64("sluice.received", int64(r.Received))}
	for _, a := range []struct{ name, value string }{
		{"guest", r.Guest}, {"uuid", r.UUID}, {"peer", r.Peer}, {"address", r.Address}, {"outcome", r.Outcome}, {"code", r.Code}, {"cause", r.Cause},
		{"path", r.Path}, {"tls", r.TLS}, {"suite", r.Suite}, {"memory", r.Memory}, {"disks", r.Disks},
	} {
		if a.value != "" {
			all = append(all, attribute.String("sluice."+a.name, valid(a.value)))
		}
	}
	if a := r.Asked; a != nil {
		if who := cmp.Or(a.User, a.Certificate); who != "" {
			all = append(all, attribute.String("sluice.asked", valid(who)))
		}
	}
	if len(r.Options) > 0 {
		options := make([]string, len(r.Options))
		for i, o := range r.Options {
			options[i] = valid(o)
		}
		all = append(all, attribute.StringSlice("sluice.options", options))
	}
	if r.Downtime > 0 {
		all = append(all, attribute.Float64("sluice.downtime_seconds", r.Downtime.Seconds()))
	}
	return all
}
