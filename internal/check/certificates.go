package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/tlsconf"
)

const certificates = "certificates"

// certificates looks at the files as they are on disk, and at what a daemon
// has in use. libvirt is this host's version of it, if it answers.
func (h *Host) certificates(l *control.Findings, libvirt string) {
	bad := false
	if h.Config.Certificates.SPIFFE == "" {
		found, err := tlsconf.Find(h.Config.Certificates.Search())
		if err != nil {
			l.Fail(certificates, "not-found", "", "%v", err)
			return
		}
		for _, f := range tlsconf.Check(found, tlsconf.Others{Libvirt: libvirt}) {
			finding := control.Finding{Check: certificates, Result: control.ResultWarning, Code: "file", Text: fmt.Sprintf("%s: %s", f.File, f.Problem), Remedy: f.Remedy}
			if f.Severity == tlsconf.Error {
				finding.Result, bad = control.ResultError, true
			}
			l.Add(finding)
		}
	}
	for _, e := range h.Reload {
		if !bad { // else it has been said
			l.Fail(certificates, "reload", "correct it; files are loaded as soon as they are good", "since %s: %s", stamp(e.At), e.Error)
		}
	}
	c := h.credentials()
	if c == nil {
		if !bad && h.Err != nil {
			l.Fail(certificates, "unusable", "", "%v", h.Err)
		}
		return
	}
	id, err := tlsconf.IdentityOf(c.Leaf)
	if err != nil {
		return // told above
	}
	if h.Config.Certificates.SPIFFE == "" {
		h.ownNames(l, c)
	}
	used := ""
	if h.By == control.ByDaemon {
		used = "in use: "
	}
	l.OK(certificates, "%s%s; %s; issued by %q; %s", used, c.Found.Why, id, c.Leaf.Issuer, ends(c.Leaf.NotAfter, time.Now()))
}

// ownNames looks whether this host is known by its certificates: of both roles,
// since peers look for its name in the one that it shows when it connects, too.
func (h *Host) ownNames(l *control.Findings, c *tlsconf.Credentials) {
	rules, err := tlsconf.ParseRules([]string{h.Config.Name})
	if err != nil {
		return // a name that no certificate can have
	}
	server, client := c.Leaves()
	for _, leaf := range server {
		id, err := tlsconf.IdentityOf(leaf)
		_, known := rules.Match(id)
		switch {
		case err != nil || known: // told above
		case leaf.VerifyHostname(h.Config.Name) == nil:
			l.Warn(certificates, "own-name", "have it issued with the host's own name, or put the wildcard into names of this host's table in the other hosts' configurations",
				"%s: this host is called %s, and its certificate has that name only by a wildcard (%s), which libvirt's clients take and sluices do not: it could be any host's", c.File(leaf), h.Config.Name, id)
		default:
			l.Warn(certificates, "own-name", "issue it with that name, or tell the other hosts' sluices (names) which one to expect",
				"%s: this host is called %s, and its certificate holds %s: by default peers expect the host's name, and libvirt clients always do", c.File(leaf), h.Config.Name, id)
		}
	}
	for _, leaf := range client {
		if slices.ContainsFunc(server, leaf.Equal) {
			continue
		}
		id, err := tlsconf.IdentityOf(leaf)
		if _, known := rules.Match(id); err != nil || known {
			continue
		}
		l.Warn(certificates, "own-name", fmt.Sprintf("have it issued with that name (dns_name = %q in certtool's template), or have the other hosts' sluices expect both: names = [%q, %q]", h.Config.Name, h.Config.Name, id.DN),
			"%s: this host is called %s, and the certificate that it shows where it connects holds %s: peers refuse it by default, since they expect the host's name in it", c.File(leaf), h.Config.Name, id)
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func ends(at, now time.Time) string {
	left := at.Sub(now)
	if left > 48*time.Hour {
		return fmt.Sprintf("ends %s, in %d days", stamp(at), left/(24*time.Hour))
	}
	return fmt.Sprintf("ends %s, in %s", stamp(at), left.Round(time.Minute))
}
