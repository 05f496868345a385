package versions

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// TestTLS runs the tests of sluice's TLS on hosts of Debian 13 and testing, whose GnuTLS and OpenSSL
// the handshakes and priority strings are then tried with.
func TestTLS(t *testing.T) {
	if !*all || *only != "" {
		t.Skip("only with -all, and without -case")
	}
	lab.Require(t)
	t.Parallel()
	// Hosts of other releases see no folder of this machine but those for temporary files.
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	build := func(folder, name string) string {
		t.Helper()
		program := filepath.Join(dir, name+".test")
		if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, folder).CombinedOutput(); err != nil {
			t.Fatalf("build the tests of %s: %v\n%s", name, err, out)
		}
		return program
	}
	tlsconf, record := build("../../tlsconf", "tlsconf"), build("../../stream/record", "record")
	if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS("../../tlsconf/testdata")); err != nil {
		t.Fatal(err)
	}
	h := direction{debian13, debianTesting}.up(t)
	for i, host := range h.Hosts() {
		release := []*release{debian13, debianTesting}[i]
		run := func(name, program string, args ...string) {
			t.Run(release.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				c := host.Command(ctx, program, args...)
				c.Dir = dir
				if out, err := c.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
		// The two that are left out need Go, and an OpenSSL whose CAs are of version 1 by default.
		run("tlsconf", tlsconf, "-later", "-test.skip", "^(TestTextsAreCryptoTLSs|TestCAOfVersion1)$")
		run("record", record, "-test.run", "OpenSSL|GnuTLS")
	}
}
