package tlsconf

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

// listed is what gnutls-cli says of a priority string.
type listed struct {
	invalid  bool   // the error is a syntax error
	syntax   string // the rest of the string from the faulty token on
	empty    bool   // the error is that nothing is left
	suites   []uint16
	versions []string
	groups   []string
	signs    []string
}

var suiteLine = regexp.MustCompile(`^TLS_\S+\s+0x(..), 0x(..)\s`)

var later = flag.Bool("later", false, "GnuTLS is one of a release after Debian 12")

// ask runs gnutls-cli --list, with systemFile in place of the host's own.
func ask(t testing.TB, priority, systemFile string) listed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "gnutls-cli", "--list", "--priority", priority)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "GNUTLS_SYSTEM_PRIORITY_FILE=" + systemFile}
	out, err := cmd.CombinedOutput()
	var l listed
	names := func(line, prefix string) (out []string) {
		for n := range strings.SplitSeq(line, ", ") {
			if n != "none" && n != "GROUP-(null)" { // a curve that is no group
				out = append(out, strings.ToUpper(strings.TrimPrefix(n, prefix)))
			}
		}
		return out
	}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if m := suiteLine.FindStringSubmatch(line); m != nil {
			id, err := strconv.ParseUint(m[1]+m[2], 16, 16)
			if err != nil {
				t.Error(err)
			}
			l.suites = append(l.suites, uint16(id))
		}
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "Protocols":
			l.versions = names(value, "VERS-")
		case "Groups":
			l.groups = names(value, "GROUP-")
		case "PK-signatures":
			// Later ones have ML-DSA in their levels, and Go has it not.
			l.signs = slices.DeleteFunc(names(value, "SIGN-"), func(s string) bool { return strings.HasPrefix(s, "ML-DSA-") })
		case "Syntax error at":
			l.invalid, l.syntax = true, value
		case "Error in priorities":
			l.empty = true
		}
	}
	if (err != nil) != (l.invalid || l.empty) {
		t.Errorf("gnutls-cli --list --priority %q: %v\n%s", priority, err, out)
	}
	return l
}

// compare holds ParsePriority against gnutls-cli. It returns what is different, or "".
func compare(t testing.TB, priority, systemFile string) string {
	t.Helper()
	want := ask(t, priority, systemFile)
	path := systemFile
	if path == "/nonexistent" {
		path = ""
	}
	sys, err := LoadSystem(path)
	if err != nil {
		return err.Error()
	}
	p, err := ParsePriority(priority, sys)
	var syntax *SyntaxError
	var unsupported *UnsupportedError
	switch {
	case errors.As(err, &syntax):
		switch {
		case syntax.Reason == noPriorities:
			if !want.empty {
				return fmt.Sprintf("we say that nothing is left; gnutls has %+v", want)
			}
		case !want.invalid:
			return fmt.Sprintf("we say %v; gnutls has %+v", err, want)
		case syntax.From == "" && !strings.Contains(priority, ": ") && syntax.String[syntax.Column-1:] != strings.TrimLeft(want.syntax, " "):
			return fmt.Sprintf("we say %v; gnutls says: Syntax error at: %s", err, want.syntax)
		}
		return ""
	case want.invalid || want.empty:
		return fmt.Sprintf("we say %v; gnutls refuses it (at %q, empty %v)", err, want.syntax, want.empty)
	case errors.As(err, &unsupported):
		if want.usable() && !strings.Contains(unsupported.Reason, "X.509") && !strings.Contains(unsupported.Reason, "signature algorithm") {
			return fmt.Sprintf("we say %v; Go has enough of %+v", err, want)
		}
		return ""
	case err != nil:
		return err.Error()
	}
	var ids []uint16
	for _, s := range p.all.suites {
		// gnutls-cli leaves out suites for which there is no version.
		if s.version <= slices.Max(want.versions) {
			ids = append(ids, s.id)
		}
	}
	if a, b := sorted(ids), sorted(want.suites); !slices.Equal(a, b) {
		return fmt.Sprintf("suites %x; gnutls has %x", a, b)
	}
	if a, b := sorted(p.all.versions), sorted(want.versions); !slices.Equal(a, b) {
		return fmt.Sprintf("versions %v; gnutls has %v", a, b)
	}
	// gnutls-cli lists groups and signature algorithms as they were named, those of no use
	// included.
	expanded, _, err := sys.expand(priority)
	if err != nil {
		return err.Error()
	}
	l, err := parse(split(expanded), sys)
	if err != nil {
		return err.Error()
	}
	if a, b := sorted(l.signs), sorted(want.signs); !slices.Equal(a, b) {
		return fmt.Sprintf("signature algorithms %v; gnutls has %v", a, b)
	}
	if a, b := sorted(removeAll(l.groups, sys.disabledGroups...)), sorted(want.groups); !slices.Equal(a, b) {
		return fmt.Sprintf("groups %v; gnutls has %v", a, b)
	}
	// What is used is what GnuTLS has and Go has, no more.
	for _, v := range []string{"TLS1.2", "TLS1.3"} {
		if has(p.Versions, v) && !has(want.versions, v) {
			return fmt.Sprintf("version %s is used, gnutls has %v", v, want.versions)
		}
	}
	for _, id := range append(slices.Clone(p.suites12), p.suites13...) {
		if !slices.Contains(want.suites, id) || !goSuites[id] {
			return fmt.Sprintf("suite %x is used, gnutls has %x", id, want.suites)
		}
	}
	for _, id := range want.suites {
		is13 := id>>8 == 0x13
		if goSuites[id] && (is13 && has(p.Versions, "TLS1.3") && !slices.Contains(p.suites13, id) ||
			!is13 && has(p.Versions, "TLS1.2") && !slices.Contains(p.suites12, id) && !strings.Contains(priority, "FORCE_ETM") && len(p.groups) > 0) {
			return fmt.Sprintf("suite %x is not used, gnutls and Go have it", id)
		}
	}
	ec := has(p.Versions, "TLS1.3") || slices.ContainsFunc(p.suites12, func(id uint16) bool { return id >= 0xc000 })
	for _, g := range want.groups {
		if _, ok := goGroups[g]; ok && ec && sys.curveEnabled(groups[g]) && !has(p.Groups, g) {
			return fmt.Sprintf("group %s is not used, gnutls and Go have it", g)
		}
	}
	return ""
}

// usable tells whether Go has enough of what gnutls-cli lists for a handshake, signatures aside.
func (l listed) usable() bool {
	group := slices.ContainsFunc(l.groups, func(g string) bool { _, ok := goGroups[g]; return ok })
	for _, id := range l.suites {
		if !goSuites[id] {
			continue
		}
		if is13 := id>>8 == 0x13; is13 && has(l.versions, "TLS1.3") && group ||
			!is13 && has(l.versions, "TLS1.2") && (group || id < 0xc000) {
			return true
		}
	}
	return false
}

func sorted[T uint16 | string](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func needTool(t testing.TB, name string) {
	t.Helper()
	needs.Program(t, name)
}

// each runs f on all cases, several at a time, and reports what it returns.
func each(t *testing.T, cases []string, f func(string) string) {
	t.Helper()
	var wg sync.WaitGroup
	work := make(chan string)
	for range 4 {
		wg.Go(func() {
			for c := range work {
				if diff := f(c); diff != "" {
					t.Errorf("%q: %s", c, diff)
				}
			}
		})
	}
	for _, c := range cases {
		work <- c
	}
	close(work)
	wg.Wait()
}

func TestPriorityAgainstGnuTLS(t *testing.T) {
	needTool(t, "gnutls-cli")
	cases := append(slices.Clone(byHand), generate(600)...)
	each(t, cases, func(s string) string {
		// gnutls-cli takes an empty string for none at all. Later ones are built without SRP, and do
		// not know its names.
		if strings.TrimSpace(s) == "" || *later && strings.Contains(strings.ToUpper(s), "SRP") {
			return ""
		}
		return compare(t, s, "/nonexistent")
	})
	t.Logf("%d strings", len(cases))
}

func TestSystemFileAgainstGnuTLS(t *testing.T) {
	needTool(t, "gnutls-cli")
	strs := []string{
		"@SYSTEM", "@LIBVIRT,SYSTEM", "@LIBVIRT", "@system", "@NONE,SYSTEM", "@SYSTEM:-VERS-TLS1.2", "@SYSTEM:+NONSENSE", "@SYSTEM:", " @SYSTEM", "@ SYSTEM", "@SYSTEM,", "@,SYSTEM", "@SYSTEM :%COMPAT",
		"NORMAL", "SECURE256", "NORMAL:+CURVE-X25519", "NORMAL:+GROUP-X25519:-VERS-TLS1.2", "NONE:+VERS-TLS1.2:+VERS-TLS1.0:+AES-128-CBC:+SHA1:+RSA:+SIGN-ALL", "SUITEB128", "PFS:-VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
	}
	n := 0
	for name, text := range systemCases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gnutls.config")
			write(t, path, []byte(text), 0o644)
			each(t, strs, func(s string) string { return compare(t, s, path) })
		})
		n += len(strs)
	}
	t.Logf("%d strings with system files", n)
}
