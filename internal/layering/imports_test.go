// Package layering holds the direction of this module's imports: a table of all
// its packages from top to bottom, and a test that no import runs up.
package layering

import (
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/virt-sluice/sluice"

// rows are the packages from top to bottom. A package imports only packages of rows below its own;
// those that share a row do not know each other. Tests are free to import what they need. A package
// that is planned may stand here before it is made.
var rows = [][]string{
	// What tests and measures sluice from outside. No part of sluice imports it.
	{"bench/converge", "bench/migration", "bench/plan", "bench/rpc", "internal/packaging/licenses", "test/demo", "test/guests/count", "test/guests/init", "test/lab", "test/roots", "test/unit"},
	{"internal/site"},
	{"internal/stand"},
	{"internal/lab", "internal/roots"},
	{"internal/chromium", "internal/hosttest", "proxy/intercept/rules/rulestest"},
	{"internal/needs", "internal/openapi", "internal/telemetry/telemetrytest", "internal/workloadapi"},

	// The program.
	{"cmd/sluice"},
	{"bench", "internal/evacuate"},

	// The daemon. internal/check asks the same questions for the command line.
	{"proxy"},
	{"internal/check", "proxy/plan"},
	{"proxy/migration", "proxy/gateway", "proxy/intercept"},
	{"proxy/arrival"},
	{"proxy/browser", "proxy/direct", "proxy/tunnel"},
	{"proxy/host"},
	{"proxy/departure"},
	{"proxy/handover", "proxy/peer", "proxy/rundir", "proxy/transfer"},
	{"proxy/session"},
	{"proxy/converge"},
	{"proxy/virt", "proxy/intercept/rules"},
	{"internal/confine", "internal/credentials", "internal/guestpolicy", "internal/history", "internal/telemetry", "internal/web"},
	{"internal/config"},
	{"proxy/tunnel/spec"},
	{"internal/observer"},

	// What knows nothing of the daemon.
	{"internal/acl", "internal/domainxml", "internal/firewall", "internal/forecast", "internal/libvirtrpc", "internal/nbd", "internal/pki", "internal/sockets", "proxy/control"},
	{"stream", "tlsconf/spiffe"},
	{"tlsconf"},
	{"tlsconf/layout"},
	{"stream/relay"},
	{"stream/ktls"},
	{"stream/record"},
	{"docs", "internal/gcm", "internal/units", "stream/internal/buffer"},
}

func TestImports(t *testing.T) {
	for _, fault := range faults(rows, imports(t, "../..")) {
		t.Error(fault)
	}
}

// faults judges what each package imports. Packages are named without the module.
func faults(rows [][]string, imports map[string][]string) (list []error) {
	rank := make(map[string]int)
	for i, row := range rows {
		for _, pkg := range row {
			if _, twice := rank[pkg]; twice {
				list = append(list, fmt.Errorf("%s is in rows twice", pkg))
			}
			rank[pkg] = i
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		own, ok := rank[pkg]
		if !ok {
			list = append(list, fmt.Errorf("%s is not in rows: enter it below all that import it and above all that it imports", pkg))
			continue
		}
		for _, imported := range imports[pkg] {
			switch other, ok := rank[imported]; {
			case !ok: // told where its own turn is
			case other < own:
				list = append(list, fmt.Errorf("%s imports %s, which is above it", pkg, imported))
			case other == own:
				list = append(list, fmt.Errorf("%s imports %s, which shares its row", pkg, imported))
			}
		}
	}
	return list
}

// imports reads which of the module's packages each of them imports, tests left
// out. A folder that has nothing but tests is no package here.
func imports(t *testing.T, root string) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); dir != root && (name == "testdata" || name[0] == '.' || name[0] == '_') {
			return filepath.SkipDir
		}
		pkg, err := build.ImportDir(dir, 0)
		if _, none := errors.AsType[*build.NoGoError](err); none {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, dir)
		if err != nil || len(pkg.GoFiles) == 0 {
			return err
		}
		found[name] = nil
		for _, path := range pkg.Imports {
			if own, ok := strings.CutPrefix(path, module+"/"); ok {
				found[name] = append(found[name], own)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found["cmd/sluice"]) == 0 {
		t.Fatalf("cmd/sluice imports nothing of %s: is %s the module's root?", module, root)
	}
	return found
}

func TestFaults(t *testing.T) {
	rows := [][]string{{"top"}, {"left", "right"}, {"planned"}, {"bottom"}}
	for _, c := range []struct {
		pkg, imported, want string
	}{
		{"top", "bottom", ""},
		{"left", "bottom", ""},
		{"left", "right", "left imports right, which shares its row"},
		{"bottom", "top", "bottom imports top, which is above it"},
		{"new", "bottom", "new is not in rows: enter it below all that import it and above all that it imports"},
	} {
		got := errors.Join(faults(rows, map[string][]string{c.pkg: {c.imported}})...)
		if text := fmt.Sprint(got); c.want == "" && got != nil || c.want != "" && text != c.want {
			t.Errorf("%s imports %s: %v, want %q", c.pkg, c.imported, got, c.want)
		}
	}
	if got := faults([][]string{{"top"}, {"top"}}, nil); len(got) != 1 {
		t.Errorf("a package in two rows: %v", got)
	}
}
