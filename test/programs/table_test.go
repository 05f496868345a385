package programs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const table = "../../docs/clients.md"

// Each case is a row of the table, and each row a case; of the version that is unpacked, if all
// cases are tried.
func TestTable(t *testing.T) {
	raw, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(raw), "| program | package | settings | what carries memory |\n| --- | --- | --- | --- |\n")
	if !ok {
		t.Fatalf("%s has no table of programs", table)
	}
	rest, _, _ = strings.Cut(rest, "\n\n")
	have := make(map[string]bool)
	for row := range strings.SplitSeq(strings.TrimSpace(rest), "\n") {
		have[row] = true
	}
	for _, c := range everything() {
		find := rowOf
		if *all {
			find = tried
		}
		pkg, err := find(have, &c)
		if err != nil {
			t.Error(err)
			continue
		}
		by := c.carries()
		if c.stays {
			by = "the guest stays"
		}
		row := fmt.Sprintf("| %s | %s | %s | %s |", c.program, pkg, c.settings, by)
		if !have[row] {
			t.Errorf("%s lacks the row\n%s", table, row)
		}
		delete(have, row)
	}
	for row := range have {
		t.Errorf("%s has a row without a case\n%s", table, row)
	}
}

// tried is a case's package, with its version.
func tried(_ map[string]bool, c *testCase) (string, error) {
	raw, err := os.ReadFile(filepath.Join(unpacked, "deb", c.pkg))
	if err != nil {
		return "", err
	}
	upstream, _, _ := strings.Cut(strings.TrimSpace(string(raw)), "-")
	return c.pkg + " " + upstream[strings.Index(upstream, ":")+1:], nil
}

// rowOf finds a case's package in its row, with whatever version.
func rowOf(rows map[string]bool, c *testCase) (string, error) {
	for row := range rows {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) == 4 && cells[0] == c.program && cells[2] == c.settings && strings.HasPrefix(cells[1], c.pkg+" ") {
			return cells[1], nil
		}
	}
	return "", fmt.Errorf("%s has no row of %s with %s", table, c.program, c.settings)
}
