package guests_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// debian is where packages are fetched from into a folder, whatever the machine's own sources say.
type debian struct {
	dir     string
	options []string
}

func newDebian(t *testing.T, dir string, suites ...string) debian {
	t.Helper()
	needs.Program(t, "apt-get", "apt-cache", "dpkg-deb")
	own := filepath.Join(dir, ".apt")
	if err := os.MkdirAll(filepath.Join(own, "lists", "partial"), 0o755); err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, suite := range suites {
		archive := "debian"
		if strings.HasSuffix(suite, "-security") {
			archive = "debian-security"
		}
		sources.WriteString("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/" + archive + " " + suite + " main\n")
	}
	list := filepath.Join(own, "sources.list")
	if err := os.WriteFile(list, []byte(sources.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return debian{dir, []string{"-q", "-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::State::lists=" + filepath.Join(own, "lists"), "-o", "Dir::Cache=" + own, "-o", "APT::Sandbox::User=root"}}
}

// apt runs one of apt's programs, and returns what it says.
func (d debian) apt(t *testing.T, program string, args ...string) string {
	t.Helper()
	return command(t, d.dir, program, slices.Concat(d.options, args)...)
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd, err, out, stderr.String())
	}
	return string(out)
}
