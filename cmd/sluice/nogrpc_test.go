package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

// The tag nogrpc leaves gRPC out of the program, which then refuses a configuration that wants
// SPIFFE or OTLP, in words.
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
	build := exec.Command("go", "build", "-buildvcs=false", "-tags", "nogrpc", "-trimpath", "-ldflags", "-s -w", "-o", program, ".") // as make build does
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	refuses := func(code int, words, text string, args ...string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, program, append(args, "--config", config)...)
		out, err := c.CombinedOutput()
		if c.ProcessState.ExitCode() != code || !strings.Contains(string(out), words+" (tag nogrpc)") {
			t.Errorf("sluice %s: %v\n%s", args, err, out)
		}
	}
	refuses(2, "this sluice was built without SPIFFE", "[certificates]\nspiffe = \"unix:///run/spire/api.sock\"\n", "serve", "--check")

	for _, args := range [][]string{{"init"}, {"issue", "host-a"}} {
		if out, err := exec.Command(program, append(append([]string{"pki"}, args...), "--dir", filepath.Join(dir, "pki"))...).CombinedOutput(); err != nil {
			t.Fatalf("sluice pki: %v\n%s", err, out)
		}
	}
	at := filepath.Join(dir, "pki", "host-a")
	traces := fmt.Sprintf(`listen = "127.0.0.1:0"
run_dir = %q
state_dir = "off"
[certificates]
ca = %q
cert = %q
key = %q
[telemetry]
otlp = "http://127.0.0.1:4318"
`, filepath.Join(dir, "run"), filepath.Join(at, "CA/cacert.pem"), filepath.Join(at, "libvirt/servercert.pem"), filepath.Join(at, "libvirt/private/serverkey.pem"))
	refuses(2, "this sluice was built without OTLP", traces, "serve", "--check")
	refuses(2, "this sluice was built without OTLP", traces, "serve")
}
