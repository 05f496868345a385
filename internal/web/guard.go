package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// policy is what the page may load and do. Styles and scripts are its own files, and markup can't be
// made of text (Trusted Types).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// answerTimeout bounds an answer that is read slowly. Streams of events have a bound of their own.
const answerTimeout = 30 * time.Second

// What is posted is bounded, in bytes and in the time that it takes.
const (
	maxBody     = 4 << 10
	bodyTimeout = 10 * time.Second
)

// ServeHTTP serves a request if its host, its origin and who makes it are right.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)) // a ResponseWriter of a test has none
	if err := p.Host(hostOf(r)); err != nil {
		p.deny(w, r, http.StatusMisdirectedRequest, err)
		return
	}
	if err := p.Denied(r); err != nil {
		p.deny(w, r, http.StatusForbidden, err)
		return
	}
	if err := foreign(r); err != nil {
		p.deny(w, r, http.StatusForbidden, err)
		return
	}
	if err := readBody(w, r); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	p.served.ServeHTTP(w, r)
}

// readBody reads a request to its end, in a time of its own: a server's ReadTimeout would end
// streams of events, too.
func readBody(w http.ResponseWriter, r *http.Request) error {
	if r.Body == http.NoBody {
		return nil
	}
	in := http.NewResponseController(w)
	in.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	in.SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// deny tells why, and keeps no connection for it.
func (p *Page) deny(w http.ResponseWriter, r *http.Request, code int, err error) {
	p.Tell(r, err)
	w.Header().Set("Connection", "close")
	refuse(w, code, err.Error())
}

// hostOf is the host by which a browser came, without the port.
func hostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.Trim(host, "[]")
}

// sameOrigin refuses what another page has a browser post.
var sameOrigin = http.NewCrossOriginProtection()

// foreign says why a request is another page's. Its script could not read the answer anyway; but it
// could hold connections. To lead to the page is anyone's right.
func foreign(r *http.Request) error {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.URL.Path != "/" && (site == "cross-site" || site == "same-site") {
		return errors.New("this is for sluice's own page alone, and another page has asked")
	}
	if err := sameOrigin.Check(r); err != nil {
		return fmt.Errorf("this is for sluice's own page alone: %w", err)
	}
	return nil
}
