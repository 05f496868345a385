package config

import (
	"errors"
	"strings"
	"testing"
)

// FuzzParse: nothing in a file makes Parse panic, and what it takes is whole:
// it keeps the promises that the rest of the program builds on.
func FuzzParse(f *testing.F) {
	f.Add([]byte("name = 'a'\nlisten = ':1'\n[limits]\nidle_timeout = '5s'\n[peers.b]\naddress = 'c:2'\nnames = ['d']\n"))
	f.Add([]byte("peers.b = {address = 'c', names = ['d', 'e']}\nusers = ['root']\n"))
	f.Add([]byte("[[peers]]\n[certificates]\nca = '/a'\n"))
	f.Add([]byte("require_secure = false\ntls = 'no'\n[limits]\nsession_timeout = '-1s'\nsessions = -1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f", data)
		if err != nil {
			if cfg != nil {
				t.Fatal("a configuration comes with an error")
			}
			var fault *Fault
			if !errors.As(err, &fault) {
				t.Fatalf("no Fault: %v", err)
			}
			return
		}
		for name, p := range cfg.Peers {
			if strings.ContainsAny(name, "/\x00") || name[0] == '.' || len(peerSocket(cfg.RunDir, name)) > maxSocketPath {
				t.Fatalf("peer %q would be a folder", name)
			}
			if p.Address == "" || len(p.Names) == 0 {
				t.Fatalf("peer %q is not whole: %+v", name, p)
			}
			if p.TLS == "no" && *cfg.RequireSecure {
				t.Fatal("in clear although security is required")
			}
		}
		l := cfg.Limits
		if l.Sessions < 1 || l.Channels < 2 || l.HandshakeTimeout <= 0 || l.IdleTimeout <= 0 || l.PrepareTimeout <= 0 || l.FinishTimeout <= 0 || l.SessionTimeout == 0 || l.SessionBytes == 0 {
			t.Fatalf("limits are not whole: %+v", l)
		}
		if _, err := cfg.UIDs(); err != nil {
			t.Fatal(err)
		}
	})
}
