package domainxml

import (
	"bytes"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/virt-sluice/sluice/internal/needs"
)

func escape(s string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

// libvirt is how libvirt's test driver, which lives in virsh, reads a
// description: as name and UUID, or with an error.
func libvirt(t *testing.T, text string) (g Guest, refusal string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "guest.xml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const mark = "mark-here"
	out, err := exec.Command("virsh", "-q", "-c", "test:///default", "undefine test; destroy test; define "+file+"; echo "+mark+"; list --all --uuid; echo "+mark+"; list --all --name").CombinedOutput()
	parts := strings.Split(string(out), mark)
	if len(parts) != 3 {
		t.Fatalf("virsh: %v: %s", err, out)
	}
	uuid, name := strings.TrimPrefix(parts[1], "\n"), strings.TrimPrefix(parts[2], "\n")
	if strings.TrimSpace(uuid) == "" {
		return g, parts[0]
	}
	// A name may end with spaces; what follows it are line ends.
	return Guest{strings.TrimRight(name, "\n"), strings.TrimSpace(uuid)}, ""
}

// What is read here is what libvirt reads, or libvirt does not read it.
func TestAsLibvirt(t *testing.T) {
	needs.Program(t, "virsh")
	compared := 0
	compare := func(name, text string) {
		own, err := Read(text)
		its, refusal := libvirt(t, text)
		if err != nil || refusal != "" {
			if err == nil {
				t.Logf("%s: libvirt refuses it: %s", name, strings.TrimSpace(refusal))
			}
			return
		}
		compared++
		if own.Name != its.Name || digits(own.UUID) != digits(its.UUID) {
			t.Errorf("%s is %+v here and %+v to libvirt", name, own, its)
		}
	}
	for name, c := range accepted {
		compare(name, c.text)
	}
	if compared < len(accepted)-2 {
		t.Errorf("libvirt takes only %d of %d that are read here", compared, len(accepted))
	}
	for name, c := range refused {
		if len(c.text) < 1000 {
			compare(name, c.text)
		}
	}
	kept, err := filepath.Glob("testdata/fuzz/FuzzRead/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range kept {
		if text := corpusText(t, file); utf8.ValidString(text) && !strings.Contains(text, "\x00") {
			compare(file, text)
		}
	}
}

func digits(uuid string) string { return strings.ToLower(strings.ReplaceAll(uuid, "-", "")) }

// corpusText is the string in a file of a fuzzing corpus.
func corpusText(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, quoted, ok := strings.Cut(string(raw), "string(")
	text, err := strconv.Unquote(strings.TrimSuffix(strings.TrimSpace(quoted), ")"))
	if !ok || err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return text
}
