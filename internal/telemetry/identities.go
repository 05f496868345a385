//go:build !nogrpc

package telemetry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"
)

// identities gives a session's first span its trace's ID and its own, and others any.
type identities struct{}

// firstKey is the key of a context's first span, as it is to be.
type firstKey struct{}

func (identities) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	first := ctx.Value(firstKey{}).(trace.SpanContext)
	return first.TraceID(), first.SpanID()
}

func (identities) NewSpanID(ctx context.Context, _ trace.TraceID) (id trace.SpanID) {
	if first, is := ctx.Value(firstKey{}).(trace.SpanContext); is {
		return first.SpanID()
	}
	rand.Read(id[:])
	return id
}

// firstSpan is what a host's first span of a session is known by, at either host.
func firstSpan(session, direction string) trace.SpanContext {
	c := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled}
	sum := sha256.Sum256([]byte(session + " " + direction))
	copy(c.SpanID[:], sum[:])
	if raw, err := hex.DecodeString(session); err == nil && len(raw) == len(c.TraceID) {
		copy(c.TraceID[:], raw)
	}
	if !c.TraceID.IsValid() { // a peer may call a session as it likes, nothing but zeros included
		sum = sha256.Sum256([]byte(session))
		copy(c.TraceID[:], sum[:])
	}
	return trace.NewSpanContext(c)
}
