package proxy

import (
	"context"
	"encoding/json"
	"net"
	"net/http"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/migration"
)

// connKey is the key of an http.Request's *host.Caller.
type connKey struct{}

// controlServer serves the control socket.
func (d *Daemon) controlServer(ctx context.Context) *http.Server {
	handler := &control.Handler{Status: d.status, Check: d.check, Resolve: d.resolve, Cancel: d.cancel, Migrate: func(ctx context.Context, req *control.MigrateRequest, report func(control.Progress)) (*control.Result, error) {
		return migration.Migrate(ctx, d.Host, req, report)
	}}
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.Context().Value(connKey{}).(*host.Caller).Denied; err != nil {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Connection", "close") // a stranger holds no descriptor of ours
				w.WriteHeader(http.StatusForbidden)
				json.NewEncoder(w).Encode(&control.Error{Message: err.Error()})
				return
			}
			handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: d.Config.Limits.HandshakeTimeout,
		IdleTimeout:       d.Config.Limits.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
}
