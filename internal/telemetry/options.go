// Package telemetry sends traces of sessions that have ended to an OpenTelemetry collector, by OTLP
// over HTTP.
//
//	t, err := telemetry.Start(telemetry.Options{Collector: "http://127.0.0.1:4318", Host: "host-a", Log: log})
//	defer t.Close()
//	t.Ended(record)
//
// A trace is made of what history keeps of a session, when it has ended: nothing is measured for it,
// and no session ever waits for it. What the collector does not take in time is dropped.
//
// Both hosts of a session have its ID as their trace's, so that their spans are of one trace without
// a word between them about it.
package telemetry

import "github.com/rs/zerolog"

// Options make a Tracer. Collector and Host are needed.
type Options struct {
	Collector string // its URL, below which are /v1/traces
	Host      string // this one's name
	Version   string // of sluice
	Log       zerolog.Logger
}
