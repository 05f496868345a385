package control

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// FuzzRequest: whatever a user of this host sends is answered by an object, and only what passes
// its check is begun.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "migrate", []byte(`{"guest":"g","peer":"host-b","copy_storage":"all","timeout":3,"timeout_action":"suspend"}`))
	f.Add("POST", "migrate", []byte(`{"guest":"g","peer":"host-b","parallel_connections":-1}`))
	f.Add("POST", "check", []byte(`{"peer":"host-b"} {}`))
	f.Add("POST", "resolve", []byte(`{"guest":"g","where":"here"}`))
	f.Add("GET", "status", []byte(nil))
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		if method != "POST" && method != "GET" {
			return
		}
		h := &Handler{
			Status: func() *Status { return new(Status) },
			Check:  func(context.Context, *CheckRequest) (*Report, error) { return new(Report), nil },
			Resolve: func(_ context.Context, r *ResolveRequest) error {
				if err := r.Check(); err != nil {
					t.Errorf("%q is begun: %v", body, err)
				}
				return nil
			},
			Migrate: func(_ context.Context, r *MigrateRequest, _ func(Progress)) (*Result, error) {
				if err := r.Check(); err != nil {
					t.Errorf("%q is begun: %v", body, err)
				}
				return new(Result), nil
			},
		}
		r := httptest.NewRequest(method, "/v1/", bytes.NewReader(body))
		r.URL.Path += path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) && w.Body.Len() > 0 {
			t.Errorf("%s %s is answered %q", method, path, w.Body)
		}
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s %q: %s", method, path, body, w.Body)
		}
	})
}
