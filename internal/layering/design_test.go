package layering

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/design.md names every package that the program is made of, and no file or package that does
// not exist.
func TestDesign(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, "docs/design.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, m := range regexp.MustCompile("`((?:proxy|stream|tlsconf|internal|cmd|docs)(?:/[a-zA-Z0-9_./]+)?)`").FindAllStringSubmatch(string(text), -1) {
		named[m[1]] = true
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("docs/design.md names %s, which does not exist", m[1])
		}
	}
	program := false
	for _, row := range rows {
		for _, pkg := range row {
			program = program || pkg == "proxy"
			if program && pkg != "stream/internal/buffer" && !named[pkg] {
				t.Errorf("docs/design.md does not name %s: add it under Packages, with what it does and does not do", pkg)
			}
		}
	}
	if !program || !strings.Contains(string(text), "\n## Packages\n") {
		t.Error("docs/design.md has no map of the packages")
	}
}
