package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/virt-sluice/sluice/internal/web"
	"github.com/virt-sluice/sluice/proxy/browser"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
)

// page is what browsers see of the daemon.
func (d *Daemon) page() *web.Page {
	requests := &control.Handler{History: d.listHistory, Session: d.findSession, Cancel: d.cancel}
	return web.New(web.Options{
		Live: d.liveForPage, Status: d.status, Check: d.check, Token: d.Dir.Token, TokenFile: d.Dir.Path(rundir.WebToken),
		Control: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost { // HEAD takes none
				d.Log.Info().Str("by", browserOf(r).Who).Str("request", r.URL.Path).Msg("asked by the page, with the token")
			}
			requests.ServeHTTP(w, r)
		}),
		Who:    func(r *http.Request) string { return browserOf(r).Who },
		Denied: func(r *http.Request) error { return browserOf(r).Denied() },
		Host:   d.pageIsAt,
		Tell: func(r *http.Request, err error) {
			h := d.now()
			h.Refused(h.Log, "request to the page refused", browserOf(r).Who, err)
		},
	})
}

func browserOf(r *http.Request) *browser.Conn { return r.Context().Value(browserKey{}).(*browser.Conn) }

// liveForPage are the sessions of guests that are under way, those of earlier processes included, and
// the last ones that ended.
func (d *Daemon) liveForPage() (live []control.SessionRecord, ended []control.SessionStatus) {
	var st control.Status
	d.addEarlier(&st)
	for _, s := range st.Sessions {
		if session.Remembered(&s) {
			live = append(live, control.SessionRecord{SessionStatus: s})
		}
	}
	for _, r := range d.history.remembered() {
		r.Samples = nil
		live = append(live, *r)
	}
	for _, r := range d.Sessions.Ended() {
		if session.Remembered(&r.SessionStatus) {
			ended = append(ended, r.SessionStatus)
		}
	}
	return live, ended
}

// pageIsAt says why the page is not to be had by a host's name. Whoever has power over a name can
// have it lead here, and the browser of a user who may look believes that it is still the same site
// (DNS rebinding).
func (d *Daemon) pageIsAt(name string) error {
	h := d.now()
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if h.Config.Web.Local() {
		a, err := netip.ParseAddr(name)
		if name == "localhost" || err == nil && a.IsLoopback() {
			return nil
		}
		return fmt.Errorf("this page is to be had as http://localhost and as http://127.0.0.1, with the port, and not by the name %.80q: a foreign name could lead here without your knowing", name)
	}
	server, _ := h.Peers.Certs.Current().Leaves()
	for _, leaf := range server {
		if leaf.VerifyHostname(name) == nil {
			return nil
		}
	}
	return fmt.Errorf("this page is to be had by the names in the certificate of %s, and %.80q is none of them", h.Config.Name, name)
}
