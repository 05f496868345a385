package check

import (
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/tlsconf"
)

const certificates = "certificates"

// certificates looks at the files as they are on disk, and at what a daemon
// has in use.
func (h *Host) certificates(l *list) {
	bad := false
	if h.Config.Certificates.SPIFFE == "" {
		found, err := tlsconf.Find(h.Config.Certificates.Search())
		if err != nil {
			l.fail(certificates, "not-found", "", "%v", err)
			return
		}
		for _, f := range tlsconf.Check(found, nil) {
			finding := control.Finding{Check: certificates, Result: control.ResultWarning, Code: "file", Text: fmt.Sprintf("%s: %s", f.File, f.Problem), Remedy: f.Remedy}
			if f.Severity == tlsconf.Error {
				finding.Result, bad = control.ResultError, true
			}
			l.add(finding)
		}
	}
	for _, e := range h.Reload {
		if !bad { // else it has been said
			l.fail(certificates, "reload", "mend it; files are taken over as soon as they are good", "since %s: %s", stamp(e.At), e.Error)
		}
	}
	c := h.credentials()
	if c == nil {
		if !bad && h.Err != nil {
			l.fail(certificates, "unusable", "", "%v", h.Err)
		}
		return
	}
	id, err := tlsconf.IdentityOf(c.Leaf)
	if err != nil {
		return // told above
	}
	if h.Config.Certificates.SPIFFE == "" && c.Leaf.VerifyHostname(h.Config.Name) != nil {
		l.warn(certificates, "own-name", "have it issued with that name, or tell the other hosts' sluices (names) which one to expect",
			"%s: this host is called %s, and its certificate holds %s: peers that are not told otherwise expect the host's name, and libvirt clients always do", c.Found.Server[0].Cert, h.Config.Name, id)
	}
	used := ""
	if h.By == control.ByDaemon {
		used = "in use: "
	}
	l.ok(certificates, "%s%s; %s; issued by %q; %s", used, c.Found.Why, id, c.Leaf.Issuer, ends(c.Leaf.NotAfter, time.Now()))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func ends(at, now time.Time) string {
	left := at.Sub(now)
	if left > 48*time.Hour {
		return fmt.Sprintf("ends %s, in %d days", stamp(at), left/(24*time.Hour))
	}
	return fmt.Sprintf("ends %s, in %s", stamp(at), left.Round(time.Minute))
}
