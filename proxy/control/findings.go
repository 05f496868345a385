package control

import "fmt"

// Findings are what was found about one host, in its order.
type Findings struct {
	Peer string // which host, by its name in the configuration; empty: this one
	List []Finding
}

// Add adds one, as it is but for the host.
func (l *Findings) Add(f Finding) {
	f.Peer = l.Peer
	l.List = append(l.List, f)
}

// OK adds what is well.
func (l *Findings) OK(check, format string, args ...any) {
	l.Add(Finding{Check: check, Result: ResultOK, Text: fmt.Sprintf(format, args...)})
}

// Warn adds what may be a fault.
func (l *Findings) Warn(check, code, remedy, format string, args ...any) {
	l.Add(Finding{Check: check, Result: ResultWarning, Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

// Fail adds a fault.
func (l *Findings) Fail(check, code, remedy, format string, args ...any) {
	l.Add(Finding{Check: check, Result: ResultError, Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

// Unknown adds what could not be found out, with why.
func (l *Findings) Unknown(check, format string, args ...any) {
	l.Add(Finding{Check: check, Result: ResultUnknown, Code: "unknown", Text: fmt.Sprintf(format, args...)})
}
