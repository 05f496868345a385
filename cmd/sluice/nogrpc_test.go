package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// The tag nogrpc leaves gRPC out of the program, which then refuses a configuration that wants
// SPIFFE, in words.
func TestWithoutGRPC(t *testing.T) {
	t.Parallel()
	needs.Program(t, "go")
	list, err := exec.Command("go", "list", "-deps", "-tags", "nogrpc", ".").Output()
	if err != nil || !strings.Contains(string(list), "github.com/virt-sluice/sluice/internal/credentials\n") {
		t.Fatalf("go list: %v\n%s", err, list)
	}
	if m := regexp.MustCompile(`(?m)^.*(?:go-spiffe|opentelemetry|google\.golang\.org/grpc).*$`).Find(list); m != nil {
		t.Errorf("it is made of %s", m)
	}
	dir := t.TempDir()
	program, config := filepath.Join(dir, "sluice"), filepath.Join(dir, "sluice.toml")
	if out, err := exec.Command("go", "build", "-tags", "nogrpc", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.WriteFile(config, []byte("[certificates]\nspiffe = \"unix:///run/spire/api.sock\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "serve", "--check", "--config", config)
	out, err := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "this sluice was built without SPIFFE (tag nogrpc)") {
		t.Errorf("sluice serve: %v\n%s", err, out)
	}
}
