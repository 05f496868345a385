package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/migration"
)

// connKey is the key of an http.Request's *host.Caller.
type connKey struct{}

// controlServer serves the control socket.
func (d *Daemon) controlServer(ctx context.Context) *http.Server {
	handler := &control.Handler{
		Status: d.status, Guests: d.guests, Check: d.check, Plan: d.plan, Resolve: d.resolve, Cancel: d.cancel, Reload: d.reload, History: d.listHistory, Session: d.findSession, Follow: d.followSession,
		Migrate: func(ctx context.Context, req *control.MigrateRequest, report func(control.Progress)) (*control.Result, error) {
			return migration.Migrate(ctx, d.now().Host, req, askerOf(ctx), report)
		},
	}
	limits := d.now().Config.Limits
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := d.denied(r); err != nil {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Connection", "close") // a stranger holds no descriptor of ours
				w.WriteHeader(http.StatusForbidden)
				json.NewEncoder(w).Encode(&control.Error{Message: err.Error()})
				return
			}
			handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: limits.HandshakeTimeout,
		IdleTimeout:       limits.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
}

// denied says why a request is not served, or nil.
func (d *Daemon) denied(r *http.Request) error {
	caller := r.Context().Value(connKey{}).(*host.Caller)
	if caller.Denied != nil {
		return caller.Denied
	}
	if caller.Own {
		return nil
	}
	h := d.now()
	if r.URL.Path == control.ReloadPath && caller.UID != 0 && int(caller.UID) != os.Geteuid() {
		return fmt.Errorf("uid %d may not reload the configuration of %s: only root may", caller.UID, h.Config.Name)
	}
	return h.Denies(caller.UID) // the users may be others than when it connected
}

// guestsTimeout bounds libvirt's answer about its guests.
const guestsTimeout = 10 * time.Second

// guests lists this host's guests.
func (d *Daemon) guests(ctx context.Context) (*control.Guests, error) {
	ctx, stop := context.WithTimeoutCause(ctx, guestsTimeout, fmt.Errorf("no answer within %v: it hangs", guestsTimeout))
	defer stop()
	all, err := d.now().Libvirt.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("libvirt: %w", err)
	}
	return &control.Guests{Guests: all}, nil
}
