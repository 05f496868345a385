package check

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/tlsconf"
)

// priority looks at the TLS policies.
func (h *Host) priority(l *control.Findings) {
	const priority = "priority"
	sys, err := tlsconf.LoadSystem(tlsconf.SystemFile(os.Getenv, ""))
	if err != nil {
		l.Fail(priority, "system-file", "make it readable, or name another in GNUTLS_SYSTEM_PRIORITY_FILE", "%v", err)
		return
	}
	for _, w := range sys.Warnings {
		l.Warn(priority, "system-file", "GnuTLS ignores the line: correct it", "%s", w)
	}
	policies := h.policies()
	if policies == nil {
		if policies, err = h.Config.Policies(); err != nil {
			l.Fail(priority, "priority", "see sluice priority STRING", "%v", err)
			return
		}
	}
	h.policy(l, "", policies.Host)
	for _, name := range slices.Sorted(maps.Keys(policies.Peers)) {
		if p := policies.Peers[name]; p != policies.Host {
			h.policy(l, "with "+name+": ", p)
		}
	}
}

func (h *Host) policy(l *control.Findings, with string, p *tlsconf.Policy) {
	const priority = "priority"
	if c := h.credentials(); c != nil {
		for _, f := range p.Check(c) {
			l.Add(control.Finding{Check: priority, Result: control.ResultError, Code: "certificate", Text: with + f.File + ": " + f.Problem, Remedy: f.Remedy})
		}
	}
	if !slices.Contains(p.Versions, "TLS1.3") {
		l.Warn(priority, "no-tls1.3", "allow TLS 1.3 (sluice priority shows why it is off)", "%s%s allows TLS 1.2 alone, which is slower here: its records go through crypto/tls", with, p.Source)
	}
	expanded := ""
	if p.Expanded != "" {
		expanded = " (" + p.Expanded + " in " + p.File + ")"
	}
	l.OK(priority, "%s%s%s: %s, %d suites, groups %s", with, p.Source, expanded, strings.Join(p.Versions, " and "), len(p.Suites), strings.Join(p.Offered(), " "))
}
