package config

import (
	"strings"
	"testing"
)

func TestMetricsAddress(t *testing.T) {
	for _, c := range []struct {
		text   string
		reason string // empty: taken
	}{
		{`metrics = ""`, ""},
		{`metrics = "127.0.0.1:16515"`, ""},
		{`metrics = "[::1]:16515"`, ""},
		{`metrics = "localhost:0"`, ""},
		{`metrics = "0.0.0.0:65535"`, ""},
		{`metrics = "127.0.0.1"`, "is not HOST:PORT"},
		{`metrics = "16515"`, "is not HOST:PORT"},
		{`metrics = "::1:16515"`, "is not HOST:PORT"},
		{`metrics = "http://127.0.0.1:16515/metrics"`, "is not HOST:PORT"},
		{`metrics = ":16515"`, `names no host`},
		{`metrics = ":"`, `names no host`},
		{`metrics = "a b:16515"`, "neither an IP address nor a host name"},
		{`metrics = "127.0.0.1:"`, `port "" must be a number`},
		{`metrics = "127.0.0.1:65536"`, `port "65536" must be a number`},
		{`metrics = "127.0.0.1:http"`, `port "http" must be a number`},
		{`metrics = "127.0.0.1:16514"`, "is where peers connect (listen)"},
		{"listen = '192.0.2.1:17000'\nmetrics = '192.0.2.1:17000'", "is where peers connect (listen)"},
		{"listen = '192.0.2.1:17000'\nmetrics = '127.0.0.1:17000'", ""},
		{"listen = '127.0.0.1:0'\nmetrics = '127.0.0.1:0'", ""},
		{`metrics = true`, "text in quotes"},
	} {
		_, err := Parse("sluice.toml", []byte(c.text))
		if c.reason == "" && err != nil || c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("%s: %v; want %q", c.text, err, c.reason)
		}
	}
}
