package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

	// Plan finds out what can be known of a migration before, and makes none. The request has passed
	// its Check. An error is an *Error, or is answered as one with code 500.
	Plan func(ctx context.Context, req *PlanRequest) (*Plan, error)

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

	// Follow reports how far a session is until its end, and returns what became of it. One that has
	// ended already is returned at once. As with Migrate, report begins the answer, and nothing is
	// answered to a caller that is gone.
	Follow func(ctx context.Context, name string, report func(Progress)) (*SessionStatus, error)

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
	taken := false
	for _, route := range routes {
		name, is := route.match(r.URL.EscapedPath())
		if is && r.Method == route.method {
			r.SetPathValue(nameValue, name)
			route.serve(h, w, r)
			return
		}
		taken = taken || is
	}
	if taken {
		answer(w, http.StatusMethodNotAllowed, WrongUse("%s does not take %s", r.URL.Path, r.Method))
		return
	}
	answer(w, http.StatusNotFound, WrongUse("no such request: %s %s (do the command line and the daemon have different versions?)", r.Method, r.URL.Path))
}

func (h *Handler) migrate(w http.ResponseWriter, r *http.Request) {
	req := new(MigrateRequest)
	if err := readRequest(w, r, req); err != nil {
		refuse(w, err)
		return
	}
	stream(w, func(report func(Progress)) (*Event, error) {
		result, err := h.Migrate(r.Context(), req, report)
		if err == nil && result == nil {
			err = errors.New("internal: the migration ended without a result")
		}
		if err != nil {
			result = &Result{Outcome: Failed, Message: err.Error(), Cause: err.Error(), Guest: req.Guest, Destination: req.Peer}
		}
		return &Event{Result: result}, err
	})
}

func (h *Handler) follow(w http.ResponseWriter, r *http.Request) {
	stream(w, func(report func(Progress)) (*Event, error) {
		s, err := h.Follow(r.Context(), r.PathValue(nameValue), report)
		if err != nil {
			return nil, err
		}
		return &Event{Session: s}, nil
	})
}

// stream answers with what run reports, and with the event that it ends by. An error is answered
// only if nothing has been reported; later it leaves the stream without its last event, if run has
// none.
func stream(w http.ResponseWriter, run func(report func(Progress)) (*Event, error)) {
	out := newEventWriter(w)
	defer out.close() // also when run panics, which net/http makes the end of this request alone
	last, err := run(out.report)
	if began := out.close(); err != nil && !began {
		refuse(w, err)
		return
	}
	if last != nil {
		writeEvent(w, last)
	}
}

// readRequest reads the body to its end, without which net/http would not
// watch for the client's going away, and checks it.
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
	if c, ok := req.(interface{ Check() error }); ok {
		return c.Check()
	}
	return nil
}

func conclude(w http.ResponseWriter, result any, err error) {
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, result)
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
