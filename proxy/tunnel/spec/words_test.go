package spec

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

func TestSplitWords(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		err  string
	}{
		{text: "cat", want: []string{"cat"}},
		{text: "  nbdkit  -s\tmemory 1G ", want: []string{"nbdkit", "-s", "memory", "1G"}},
		{text: `sh -c 'cat | wc; echo "$?"'`, want: []string{"sh", "-c", `cat | wc; echo "$?"`}},
		{text: `a "b c" d'e 'f`, want: []string{"a", "b c", "de f"}},
		{text: `a "" ''`, want: []string{"a", "", ""}},
		{text: `a "\"\\\$\` + "`" + `\n" \| \ b`, want: []string{"a", `"\$` + "`" + `\n`, "|", " b"}},
		{text: "a=b --c=d,e:f@g%h+i/j.k^l", want: []string{"a=b", "--c=d,e:f@g%h+i/j.k^l"}},
		{text: "", err: "a command is missing"},
		{text: "''", err: "a command is missing"},
		{text: "a 'b", err: "a ' is not closed"},
		{text: `a "b`, err: `a " is not closed`},
		{text: `a "b\"`, err: `a " is not closed`},
		{text: `a \`, err: "nothing follows"},
		{text: "a\x00", err: "NUL"},
		{text: `a "$HOME"`, err: "exec:sh -c"},
		{text: "a $HOME", err: "exec:sh -c"},
		{text: "a *", err: "exec:sh -c"},
		{text: "a > b", err: "exec:sh -c"},
		{text: "a\nb", err: "exec:sh -c"},
	} {
		got, err := splitWords(c.text)
		if !slices.Equal(got, c.want) || !needs.ErrorSays(err, c.err) {
			t.Errorf("%q is %q, %v", c.text, got, err)
		}
	}
}

// What is taken a shell takes for the same words.
func FuzzSplitWords(f *testing.F) {
	for _, s := range []string{"a b", `a 'b c' "d\"e" \f`, `"\a"\ '\'`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, command string) {
		words, err := splitWords(command)
		if err != nil || !shellSafe(command) {
			return
		}
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+command).Output()
		if err != nil {
			t.Fatalf("%q: %v", command, err)
		}
		if want := strings.Join(words, "\x00") + "\x00"; string(out) != want {
			t.Errorf("%q is %q, to sh %q", command, want, out)
		}
	})
}

// shellSafe leaves out what the shell on this machine may see otherwise: bytes
// that are no text, and a backslash before a line's end.
func shellSafe(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) < 0
}
