package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/virt-sluice/sluice/internal/needs"
)

var manDir = flag.String("man", "", "the folder to write the manual pages to, instead of a temporary one")

// Every command has a manual page, made from its own help, and so has the configuration, made from
// docs/config.md. man finds no fault with them.
func TestManPages(t *testing.T) {
	needs.Program(t, "man")
	dir := *manDir
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot(streams{})
	date := buildDate(t)
	prepareForMan(root)
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "sluice", Manual: "sluice", Date: &date}, dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sluice.toml.5"), md2man.Render(configurationPage(string(text), date)), 0o644); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.[15]"))
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 15 {
		t.Errorf("only %d pages: %q", len(pages), pages)
	}
	for _, page := range pages {
		c := exec.Command("man", "--warnings", "--encoding=UTF-8", "--locale=C.UTF-8", "--local-file", page)
		c.Env = append(os.Environ(), "MANWIDTH=80", "LC_ALL=C.UTF-8", "MAN_KEEP_FORMATTING=")
		var faults strings.Builder
		c.Stderr = &faults
		shown, err := c.Output()
		if err != nil || faults.Len() > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(page), err, faults.String())
		}
		if !strings.Contains(string(shown), "NAME") || !strings.Contains(string(shown), "sluice") {
			t.Errorf("%s has no name:\n%s", filepath.Base(page), shown)
		}
	}
}

// buildDate is SOURCE_DATE_EPOCH's, so that what is built of one commit is the same each time.
func buildDate(t *testing.T) time.Time {
	t.Helper()
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Unix(0, 0).UTC()
	}
	d, err := time.ParseDuration(epoch + "s")
	if err != nil {
		t.Fatalf("SOURCE_DATE_EPOCH=%s: %v", epoch, err)
	}
	return time.Unix(int64(d.Seconds()), 0).UTC()
}

// prepareForMan has what --help shows indented be a block in Markdown as well.
func prepareForMan(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	cmd.Long = shownIndented.ReplaceAllString(cmd.Long, "    $0")
	for _, c := range cmd.Commands() {
		prepareForMan(c)
	}
}

var shownIndented = regexp.MustCompile(`(?m)^  .*$`)

// configurationPage makes a manual page's Markdown of the reference.
func configurationPage(text string, date time.Time) []byte {
	_, text, _ = strings.Cut(text, "\n") // the heading
	text = strings.NewReplacer("\n## ", "\n# ", "\n### ", "\n## ").Replace(text)
	text = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`).ReplaceAllString(text, "$1")
	head := "sluice.toml 5 \"" + date.Format("January 2006") + "\" sluice sluice\n==\n\n# NAME\nsluice.toml - configuration of sluice(1)\n\n# DESCRIPTION\n"
	return []byte(head + text)
}
