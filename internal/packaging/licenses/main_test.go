package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// All that sluice is linked from has a licence that is known and allowed.
func TestSluice(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, "../../..", "./cmd/sluice"); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"  github.com/spf13/cobra v", "  Go's standard library go1.", "  google.golang.org/grpc v", "\nCopyright 2009 The Go Authors."} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("there is no %q", line)
		}
	}
}

// A module without a licence, and one with a licence that is not allowed, are faults.
func TestFaults(t *testing.T) {
	gpl, err := os.ReadFile("testdata/gpl-2.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"none":        {"", "there is no known licence"},
		"not allowed": {string(gpl), "licence GPL-2.0"},
		"own words":   {"You may use this on Sundays.", "there is no known licence"},
	} {
		dir := t.TempDir()
		if c.text != "" {
			if err := os.WriteFile(filepath.Join(dir, "COPYING"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if ids, err := (module{Path: "example.org/m", dirs: []string{dir}}).write(new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v", name, ids, err)
		}
	}
}
