package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Handler serves the protocol. It is an http.Handler; who may connect is decided before it. Its
// http.Server may not have a WriteTimeout, which would end long migrations.
type Handler struct {
	Status func() *Status

	// Guests lists this host's guests. An error is answered as an *Error with code 500.
	Guests func(ctx context.Context) (*Guests, error)

	// Check looks at what the request names until ctx ends. An error is an
	// *Error, or is answered as one with code 500.
	Check func(ctx context.Context, req *CheckRequest) (*Report, error)

	// Resolve takes an operator's word for what became of a guest. The request has passed its
	// Check. An error is an *Error, or is answered as one with code 500.
	Resolve func(ctx context.Context, req *ResolveRequest) error

	// Cancel cancels a migration, and returns when it has ended or ctx does. The request has passed
	// its Check. An error is an *Error, or is answered as one with code 500.
	Cancel func(ctx context.Context, req *CancelRequest) (*CancelReply, error)

	// History lists sessions that ended, Session has one, live or ended. An error is an *Error, or is
	// answered as one with code 500.
	History func(ctx context.Context, q *HistoryQuery) (*History, error)
	Session func(ctx context.Context, name string) (*SessionRecord, error)

	// Reload takes over the configuration. An error is an *Error, or is answered as one with code 500.
	Reload func(ctx context.Context) (*Reloaded, error)

	// Migrate runs one migration until its end. ctx ends when the caller cancels or is gone:
	// Migrate then aborts, restores and returns. The request has passed its Check.
	//
	// report hands progress on; its first call begins the answer, so it is made once the request is
	// accepted and before anything is started. It never blocks: what a slow client does not take is
	// dropped. It is not called after Migrate has returned.
	//
	// An error promises that nothing was started; it is an *Error, or is answered as one with code 500.
	Migrate func(ctx context.Context, req *MigrateRequest, report func(Progress)) (*Result, error)
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/status":
		if r.Method == http.MethodGet {
			answer(w, http.StatusOK, h.Status())
			return
		}
	case "/v1/guests":
		if r.Method == http.MethodGet {
			h.guests(w, r)
			return
		}
	case "/v1/check":
		if r.Method == http.MethodPost {
			h.check(w, r)
			return
		}
	case "/v1/resolve":
		if r.Method == http.MethodPost {
			h.resolve(w, r)
			return
		}
	case "/v1/cancel":
		if r.Method == http.MethodPost {
			h.cancel(w, r)
			return
		}
	case historyPath:
		if r.Method == http.MethodGet {
			h.history(w, r)
			return
		}
	case ReloadPath:
		if r.Method == http.MethodPost {
			h.reload(w, r)
			return
		}
	case "/v1/migrate":
		if r.Method == http.MethodPost {
			h.migrate(w, r)
			return
		}
	default:
		if name, is := strings.CutPrefix(r.URL.Path, historyPath+"/"); is && name != "" && r.Method == http.MethodGet {
			h.session(w, r, name)
			return
		}
		answer(w, http.StatusNotFound, WrongUse("no such request: %s %s (do the command line and the daemon have different versions?)", r.Method, r.URL.Path))
		return
	}
	answer(w, http.StatusMethodNotAllowed, WrongUse("%s does not take %s", r.URL.Path, r.Method))
}

func (h *Handler) check(w http.ResponseWriter, r *http.Request) {
	req := new(CheckRequest)
	if err := readRequest(w, r, req); err != nil {
		refuse(w, err)
		return
	}
	report, err := h.Check(r.Context(), req)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, report)
}

func (h *Handler) migrate(w http.ResponseWriter, r *http.Request) {
	req := new(MigrateRequest)
	err := readRequest(w, r, req)
	if err == nil {
		err = req.Check()
	}
	if err != nil {
		refuse(w, err)
		return
	}
	out := newEventWriter(w)
	defer out.close() // also when Migrate panics, which net/http makes the end of this request alone
	result, err := h.Migrate(r.Context(), req, out.report)
	began := out.close()
	if err == nil && result == nil {
		err = errors.New("internal: the migration ended without a result")
	}
	switch {
	case err != nil && !began:
		refuse(w, err)
		return
	case err != nil:
		result = &Result{Outcome: Failed, Message: err.Error(), Cause: err.Error(), Guest: req.Guest, Destination: req.Peer}
	}
	writeEvent(w, &Event{Result: result})
}

// readRequest reads the body to its end, without which net/http would not
// watch for the client's going away.
func readRequest(w http.ResponseWriter, r *http.Request, req any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err != nil {
		return WrongUse("read the request: %v", err)
	}
	// An option that this daemon does not know may not be silently without effect.
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(req); err != nil {
		return WrongUse("the request is not understood (is the command line newer than the daemon?): %v", err)
	}
	if dec.More() {
		return WrongUse("the request contains more than one object")
	}
	return nil
}

func refuse(w http.ResponseWriter, err error) {
	e := &Error{Code: http.StatusInternalServerError, Message: err.Error()}
	if known := (*Error)(nil); errors.As(err, &known) {
		e.Code = known.Code
	}
	answer(w, e.Code, e)
}

func answer(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		code, data = http.StatusInternalServerError, fmt.Appendf(nil, `{"error":%q}`, err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(append(data, '\n')) // an error is the client's to see
}
