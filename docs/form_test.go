package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// Prose wraps at 100 columns, cells of tables are short, and the front page is one page.
func TestForm(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != ".." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".md" || d.Name() == "RESULTS.md" { // a program's, in its words
			return nil
		}
		return checkForm(t, path)
	})
	if err != nil {
		t.Fatal(err)
	}
	front, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(front), "\n"); n > 120 {
		t.Errorf("README.md has %d lines, more than 120: move what is for those who have decided to use it", n)
	}
}

func checkForm(t *testing.T, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	code := false
	for i, line := range strings.Split(string(text), "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence {
			code = !code
		}
		switch {
		case fence || code || strings.HasPrefix(line, "    "):
		case strings.HasPrefix(line, "|"):
			for cell := range strings.SplitSeq(line, "|") {
				if n := utf8.RuneCountInString(strings.TrimSpace(cell)); n > 90 {
					t.Errorf("%s:%d: a cell has %d columns, more than 90: make the table a list", path, i+1, n)
				}
			}
		default:
			if n := utf8.RuneCountInString(line); n > 100 {
				t.Errorf("%s:%d has %d columns, more than 100", path, i+1, n)
			}
		}
	}
	if code {
		t.Errorf("%s: a block of code has no end", path)
	}
	return nil
}
