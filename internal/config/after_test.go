package config

import (
	"fmt"
	"strings"
	"testing"
)

// What takes a restart stays as it was, also where that was a default, and is named.
func TestAfter(t *testing.T) {
	parse := func(text string) *Config {
		t.Helper()
		c, err := Parse("f.toml", []byte("qemu_user = '0'\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const tunnel = "[[tunnel]]\nname = 't'\nlisten = 'fd:9'\nto = 'tls:b:2'\n"
	const other = "[[tunnel]]\nname = 'u'\nlisten = 'tcp:127.0.0.1:1'\nto = 'tls:b:2'\n"
	inUse := parse("name = 'a'\n" + tunnel + "priority = 'SECURE256'\n")
	want, err := inUse.Policies()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text    string
		restart []string
	}{
		{"name = 'a'\n[limits]\nsessions = 3\n" + tunnel + "priority = 'SECURE256'\n", nil},
		{"name = 'b'\nstate_dir = '/srv/state'\nlibvirt_socket = '/run/other'\nlandlock = 'off'\ntelemetry.otlp = 'http://127.0.0.1:4318'\n[limits]\nsessions = 3\n" + tunnel + "priority = 'NORMAL'\n", []string{"name", "state_dir", "libvirt_socket", "landlock", "telemetry.otlp", "tunnel"}},
		{"name = 'a'\n[limits]\nsessions = 3\n", []string{"tunnel"}},
		{"name = 'a'\n[limits]\nsessions = 3\n" + other, []string{"tunnel"}},
		{"name = 'a'\n[limits]\nsessions = 3\n" + tunnel + "priority = 'SECURE256'\n" + other, nil},
	} {
		now, restart := parse(c.text).After(inUse)
		if fmt.Sprint(restart) != fmt.Sprint(c.restart) {
			t.Errorf("%s\ntakes a restart for %q, want %q", c.text, restart, c.restart)
		}
		if now.Name != "a" || now.LibvirtSocket != "" || now.Landlock != LandlockAuto || now.Limits.Sessions != 3 {
			t.Errorf("%s\n%+v", c.text, now)
		}
		got, err := now.Policies()
		if err != nil {
			t.Fatal(err)
		}
		if n := 1 + strings.Count(c.text, other); len(got.Tunnels) != n || len(now.Tunnels) != n || got.Tunnels[0].Source != want.Tunnels[0].Source {
			t.Errorf("%s\nthe tunnel has the policies %+v", c.text, got.Tunnels)
		}
	}
}
