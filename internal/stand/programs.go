package stand

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Programs are sluice, built twice, both so that they write their goroutines when they are asked to
// ([Holds]): the daemon with the race detector; the command line, which starts much faster, without.
type Programs struct{ Daemon, Command string }

// Built is sluice, built when a test first asks for it. The zero Built is ready.
type Built struct {
	once     sync.Once
	dir      string
	programs Programs
	err      error
}

// Programs are what Build has made.
func (b *Built) Programs() (Programs, error) {
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "sluice-test-"); b.err == nil {
			b.programs, b.err = Build(b.dir)
		}
	})
	return b.programs, b.err
}

// Remove removes them, once all tests are over.
func (b *Built) Remove() error { return os.RemoveAll(b.dir) }

const command = "github.com/virt-sluice/sluice/cmd/sluice"

//go:embed testdata/goroutines/main.go
var goroutinesSource []byte

// Build builds both into a folder, which every user may then enter.
func Build(dir string) (Programs, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	run := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("build sluice: %w\n%s", err, out)
		}
		return strings.TrimSpace(string(out)), nil
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return Programs{}, err
	}
	source, err := run("list", "-f", "{{.Dir}}", command)
	if err != nil {
		return Programs{}, err
	}
	goroutines, overlay := filepath.Join(dir, "goroutines.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(source, "zz_goroutines.go"): goroutines}})
	if err != nil {
		return Programs{}, err
	}
	for file, content := range map[string][]byte{goroutines: goroutinesSource, overlay: replace} {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return Programs{}, err
		}
	}
	p := Programs{Daemon: filepath.Join(dir, "sluiced"), Command: filepath.Join(dir, "sluice")}
	if _, err := run("build", "-race", "-overlay", overlay, "-o", p.Daemon, command); err != nil {
		return Programs{}, err
	}
	_, err = run("build", "-overlay", overlay, "-o", p.Command, command)
	return p, err
}
