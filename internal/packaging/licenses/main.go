// Command licenses writes the licences of all modules that a program is linked from, for both
// processors that there are packages for, and of Go's own library:
//
//	licenses -C ../../.. ./cmd/sluice >third-party-licenses.txt
//
// It fails if a module has no licence, or one that is not known or not among those that sluice may be
// passed on with.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

func main() {
	dir := flag.String("C", ".", "the `FOLDER` of the program's module")
	flag.Parse()
	if err := run(os.Stdout, *dir, flag.Args()...); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

// A module is one that is linked.
type module struct {
	Path, Version string
	dirs          []string // its own, and those of the packages that are linked
}

func run(w io.Writer, dir string, programs ...string) error {
	all := make(map[string]module)
	for _, arch := range []string{"amd64", "arm64"} {
		c := exec.Command("go", append([]string{"list", "-deps", "-json=Dir,Module"}, programs...)...)
		c.Dir, c.Stderr = dir, os.Stderr
		c.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOARCH="+arch)
		out, err := c.Output()
		if err != nil {
			return fmt.Errorf("go list: %w", err)
		}
		for packages := json.NewDecoder(bytes.NewReader(out)); packages.More(); {
			var p struct {
				Dir    string
				Module *struct {
					Path, Version, Dir string
					Main               bool
				}
			}
			if err := packages.Decode(&p); err != nil {
				return fmt.Errorf("go list: %w", err)
			}
			if p.Module == nil || p.Module.Main {
				continue
			}
			m, known := all[p.Module.Path]
			if !known {
				m = module{p.Module.Path, p.Module.Version, []string{p.Module.Dir}}
			}
			if !slices.Contains(m.dirs, p.Dir) {
				m.dirs = append(m.dirs, p.Dir)
			}
			all[m.Path] = m
		}
	}
	root, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	words := strings.Fields(string(root))
	all["std"] = module{"Go's standard library", words[1], words[:1]}

	var faults []error
	fmt.Fprint(w, "sluice is made of these, besides its own code. Their licences follow.\n\n")
	var texts bytes.Buffer
	for _, path := range slices.Sorted(maps.Keys(all)) {
		m := all[path]
		id, err := m.write(&texts)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", m.Path, m.Version, err))
			continue
		}
		fmt.Fprintf(w, "  %s %s: %s\n", m.Path, m.Version, id)
	}
	if _, err := texts.WriteTo(w); err != nil {
		return err
	}
	return errors.Join(faults...)
}

// named are the files that hold licences and what goes with them, by what they are called.
var named = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents)([-._].*)?$`)

// allowed are the licences under which a part of sluice may come, by SPDX's names.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// patents is a promise beside a licence.
const patents = "GooglePatentsFile"

// choice is how a file says that it leaves the choice between several licences.
var choice = regexp.MustCompile(`SPDX-License-Identifier: ([\w.-]+(?: OR [\w.-]+)+)`)

// write writes the licence files of a module and of its packages, and says which licences they are.
func (m module) write(w io.Writer) (ids string, err error) {
	var found []string
	for _, dir := range m.dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			return "", err
		}
		for _, f := range files {
			if f.IsDir() || !named.MatchString(f.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				return "", err
			}
			found = append(found, licensesIn(text)...)
			fmt.Fprintf(w, "\n%s\n%s %s, %s\n\n%s\n", strings.Repeat("=", 100), m.Path, m.Version, f.Name(), bytes.TrimSpace(text))
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) == 0 {
		return "", errors.New("there is no known licence")
	}
	for _, id := range found {
		if !slices.Contains(allowed, id) {
			return "", fmt.Errorf("licence %s is not among those that are allowed (%s)", id, strings.Join(allowed, ", "))
		}
	}
	return strings.Join(found, ", "), nil
}

// licensesIn are those that a text has, or of a choice the first that is allowed.
func licensesIn(text []byte) (ids []string) {
	if c := choice.FindSubmatch(text); c != nil {
		for id := range strings.SplitSeq(string(c[1]), " OR ") {
			if slices.Contains(allowed, id) {
				return []string{id}
			}
		}
	}
	for _, match := range licensecheck.Scan(text).Match {
		if !match.IsURL && match.ID != patents {
			ids = append(ids, match.ID)
		}
	}
	return ids
}
