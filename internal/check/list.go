package check

import (
	"fmt"

	"github.com/virt-sluice/sluice/proxy/control"
)

// list collects findings about one host.
type list struct {
	peer     string
	findings []control.Finding
}

func (l *list) add(f control.Finding) {
	f.Peer = l.peer
	l.findings = append(l.findings, f)
}

func (l *list) ok(check, format string, args ...any) {
	l.add(control.Finding{Check: check, Result: control.ResultOK, Text: fmt.Sprintf(format, args...)})
}

func (l *list) warn(check, code, remedy, format string, args ...any) {
	l.add(control.Finding{Check: check, Result: control.ResultWarning, Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (l *list) fail(check, code, remedy, format string, args ...any) {
	l.add(control.Finding{Check: check, Result: control.ResultError, Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}
