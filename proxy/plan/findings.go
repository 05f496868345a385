package plan

import (
	"fmt"

	"github.com/virt-sluice/sluice/proxy/control"
)

// findings collects those of one host.
type findings struct{ all []control.Finding }

func (l *findings) ok(check, format string, args ...any) {
	l.add(control.Finding{Check: check, Result: control.ResultOK, Text: fmt.Sprintf(format, args...)})
}

func (l *findings) warn(check, code, remedy, format string, args ...any) {
	l.add(control.Finding{Check: check, Result: control.ResultWarning, Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (l *findings) fail(check, code, remedy, format string, args ...any) {
	l.add(control.Finding{Check: check, Result: control.ResultError, Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

// unknown says what is not known, and why.
func (l *findings) unknown(check, format string, args ...any) {
	l.add(control.Finding{Check: check, Result: control.ResultUnknown, Code: "unknown", Text: fmt.Sprintf(format, args...)})
}

func (l *findings) add(f control.Finding) { l.all = append(l.all, f) }

// size is a number of bytes for people.
func size(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// maxLooks is how many networks, interfaces and secrets of each kind are looked for.
const maxLooks = 32

// unique is a list without what stands in it before, and not beyond what is looked for.
func unique[T comparable](all []T) (some []T) {
	had := make(map[T]bool)
	for _, one := range all {
		if !had[one] && len(some) < maxLooks {
			had[one] = true
			some = append(some, one)
		}
	}
	return some
}
