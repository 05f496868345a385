package guestpolicy

import (
	"errors"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
)

// FuzzJudge: whatever comes as a description is judged in words, the same each time, and what is
// not accepted by itself is not accepted at the end of anything that is.
func FuzzJudge(f *testing.F) {
	for _, text := range accepted {
		f.Add(text)
	}
	for _, c := range refused {
		f.Add(c.text)
	}
	policy := New(config.Accept{}, func() ([]Pool, error) { return nil, errors.New("there are no pools") })
	const evil = `<emulator>/tmp/evil</emulator>`
	f.Fuzz(func(t *testing.T, text string) {
		refusals, err := policy.Judge(text)
		for _, r := range refusals {
			if r.Why == "" || r.Element == "" && r.Key == "" {
				t.Errorf("%q is refused without a reason: %+v", text, r)
			}
		}
		again, errAgain := policy.Judge(text)
		if (err == nil) != (errAgain == nil) || len(again) != len(refusals) {
			t.Errorf("%q is judged %v, %v and then %v, %v", text, refusals, err, again, errAgain)
		}
		const end = "</devices></domain>" // there, of a document that can be read, it is those
		if err != nil || len(refusals) > 0 || !strings.HasSuffix(text, end) {
			return
		}
		with := strings.TrimSuffix(text, end) + evil + end
		if more, err := policy.Judge(with); err == nil && len(more) == 0 {
			t.Errorf("%q is not refused for %s", with, evil)
		}
	})
}
