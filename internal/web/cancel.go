package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"
)

// errToken does not say where the token is: the page does.
var errToken = errors.New("cancelling takes the token of this daemon, and this is not it")

// cancel hands a cancellation to the control socket's if it has the token.
func (p *Page) cancel(w http.ResponseWriter, r *http.Request) {
	given, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	want, err := p.Token()
	switch {
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
	case !is || !same(given, want):
		w.Header().Set("WWW-Authenticate", "Bearer")
		p.Tell(r, errToken)
		refuse(w, http.StatusUnauthorized, errToken.Error())
	default:
		http.NewResponseController(w).SetWriteDeadline(time.Time{}) // it lasts until the migration has ended
		p.Control.ServeHTTP(w, r)
	}
}

// same compares in a time that tells nothing of where they differ. An empty token is nobody's.
func same(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && want != ""
}
