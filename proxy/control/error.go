package control

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is the daemon's refusal of a request, in words.
type Error struct {
	Code    int    `json:"-"` // HTTP status
	Message string `json:"error"`
}

func (e *Error) Error() string { return e.Message }

// WrongUse is an Error about a request that no host could fulfil.
func WrongUse(format string, args ...any) *Error {
	return &Error{Code: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

// IsWrongUse says whether err is the daemon's word that the request itself is
// wrong, so that nothing was tried.
func IsWrongUse(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == http.StatusBadRequest
}
