package config

import "net/url"

// Telemetry is where traces of migrations go.
type Telemetry struct {
	OTLP string `toml:"otlp"` // URL of a collector that takes OTLP over HTTP; default: none
}

func (c *checker) telemetry(t Telemetry) {
	if t.OTLP == "" {
		return
	}
	at, err := url.Parse(t.OTLP)
	switch {
	case err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "":
		c.fault("telemetry.otlp", `%q is not http://HOST:PORT or https://HOST:PORT; write for example "http://127.0.0.1:4318"`, t.OTLP)
	case at.User != nil || at.RawQuery != "" || at.Fragment != "":
		c.fault("telemetry.otlp", `has a user, a query or a fragment; a collector that asks for a password takes it from OTEL_EXPORTER_OTLP_HEADERS in the daemon's environment`)
	}
}
