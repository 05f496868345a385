package test

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// says checks that a text has all the words, and is not a bare error.
func says(t *testing.T, who, text string, words ...string) {
	t.Helper()
	if stand.Bare.MatchString(text) {
		t.Errorf("%s says nothing but %q", who, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s says\n  %s\nwhich lacks %q", who, text, w)
		}
	}
}

// sameCause checks that both daemons show the session ended by one cause, in these words.
func sameCause(a, b *daemon, words ...string) {
	a.s.t.Helper()
	ea, eb := a.ended(), b.ended()
	if ea.ID != eb.ID {
		a.s.t.Errorf("the last session of %s is %s, that of %s is %s", a.host.Name, ea.ID, b.host.Name, eb.ID)
	}
	if ea.Cause != eb.Cause {
		a.s.t.Errorf("%s says\n  %s\nand %s says\n  %s", a.host.Name, ea.Cause, b.host.Name, eb.Cause)
	}
	says(a.s.t, a.host.Name, ea.Cause, words...)
	says(b.s.t, b.host.Name, eb.Cause, words...)
}

// stays checks the result of a migration after which the guest goes on at the source.
func (m *migration) stays(outcome string, status int, words ...string) *control.Result {
	m.s.t.Helper()
	r := m.want(outcome, status)
	says(m.s.t, "the message", r.Message, append(words, "goes on running on host-a")...)
	says(m.s.t, "the cause", r.Cause, words...)
	return r
}
