package control

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"strings"
)

// route is one request that Handler takes.
type route struct {
	method string
	path   string // one of its segments may be {name}
	serve  func(h *Handler, w http.ResponseWriter, r *http.Request)

	// For the description in docs/openapi.yaml.
	request, answer reflect.Type // nil without a body
	filters         bool         // it takes those of HistoryQuery
	stream          bool         // the answer is many objects, one a line
}

// routes are all of them.
var routes = []route{
	get("/v1/status", func(h *Handler, _ *http.Request) (*Status, error) { return h.Status(), nil }),
	get("/v1/guests", func(h *Handler, r *http.Request) (*Guests, error) { return h.Guests(r.Context()) }),
	filtered(get("/v1/history", (*Handler).history)),
	get("/v1/sessions/{name}", func(h *Handler, r *http.Request) (*SessionRecord, error) {
		return h.Session(r.Context(), r.PathValue(nameValue))
	}),
	{method: http.MethodGet, path: "/v1/sessions/{name}/events", serve: (*Handler).follow, answer: typeOf[Event](), stream: true},
	post("/v1/check", func(h *Handler, ctx context.Context, q *CheckRequest) (*Report, error) { return h.Check(ctx, q) }),
	post(planPath, (*Handler).plan),
	post("/v1/resolve", func(h *Handler, ctx context.Context, q *ResolveRequest) (*struct{}, error) {
		return new(struct{}), h.Resolve(ctx, q)
	}),
	post("/v1/cancel", func(h *Handler, ctx context.Context, q *CancelRequest) (*CancelReply, error) { return h.Cancel(ctx, q) }),
	post(ReloadPath, func(h *Handler, ctx context.Context, _ *struct{}) (*Reloaded, error) { return h.Reload(ctx) }),
	{method: http.MethodPost, path: "/v1/migrate", serve: (*Handler).migrate, request: typeOf[MigrateRequest](), answer: typeOf[Event](), stream: true},
}

// get is a route of one object for no body.
func get[A any](path string, ask func(*Handler, *http.Request) (*A, error)) route {
	return route{method: http.MethodGet, path: path, answer: typeOf[A](), serve: func(h *Handler, w http.ResponseWriter, r *http.Request) {
		a, err := ask(h, r)
		conclude(w, a, err)
	}}
}

// post is a route of one object for another, which has passed its Check if it has one.
func post[Q, A any](path string, ask func(*Handler, context.Context, *Q) (*A, error)) route {
	return route{method: http.MethodPost, path: path, request: typeOf[Q](), answer: typeOf[A](), serve: func(h *Handler, w http.ResponseWriter, r *http.Request) {
		q := new(Q)
		err := readRequest(w, r, q)
		var a *A
		if err == nil {
			a, err = ask(h, r.Context(), q)
		}
		conclude(w, a, err)
	}}
}

func filtered(r route) route {
	r.filters = true
	return r
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

const (
	nameSegment = "{name}"
	nameValue   = "name"
)

// match says whether a path, escaped as it came, is the route's, and what stands for {name}.
func (r *route) match(path string) (name string, is bool) {
	before, after, named := strings.Cut(r.path, nameSegment)
	if !named {
		return "", path == r.path
	}
	name, is = strings.CutPrefix(path, before)
	if is {
		name, is = strings.CutSuffix(name, after)
	}
	if !is || name == "" || strings.Contains(name, "/") {
		return "", false
	}
	name, err := url.PathUnescape(name)
	return name, err == nil
}
