package config

import (
	"strings"
	"testing"
)

func TestWeb(t *testing.T) {
	for _, c := range []struct {
		text   string
		reason string // empty: taken
	}{
		{``, ""},
		{`listen = "unix"`, ""},
		{`listen = "off"`, ""},
		{`listen = "127.0.0.1:16517"`, ""},
		{`listen = "[::1]:0"`, ""},
		{`listen = "localhost:16517"`, ""},
		{"listen = '192.0.2.1:16517'\nnames = ['C=GB,O=Example,*']", ""},
		{"listen = '0.0.0.0:16517'\nnames = ['operator-*']", ""},
		{`listen = "192.0.2.1:16517"`, "nobody is named who may look"},
		{`listen = "0.0.0.0:16517"`, "nobody is named who may look"},
		{`listen = "[::]:16517"`, "nobody is named who may look"},
		{`listen = "host-a.example.org:16517"`, "nobody is named who may look"},
		{"listen = '192.0.2.1:16517'\nnames = ['']", "rule \"\": empty"},
		{`listen = "socket"`, "nor HOST:PORT"},
		{`listen = "/run/sluice/web.sock"`, "nor HOST:PORT"},
		{`listen = ":16517"`, "names no host"},
		{`listen = "a b:16517"`, "neither an IP address nor a host name"},
		{`listen = "127.0.0.1:65536"`, `port "65536" must be a number`},
		{`listen = "127.0.0.1:16514"`, "is where peers connect (listen)"},
		{`listen = "127.0.0.1:16515"`, "is where metrics are served (metrics)"},
	} {
		_, err := Parse("sluice.toml", []byte("metrics = '127.0.0.1:16515'\n[web]\n"+c.text))
		if c.reason == "" && err != nil || c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("%s: %v; want %q", c.text, err, c.reason)
		}
	}
}
