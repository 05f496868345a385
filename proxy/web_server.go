package proxy

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/browser"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/rundir"
)

const (
	// browserTimeout bounds a request's header.
	browserTimeout = 10 * time.Second
	// browserShutdown is how long answers may delay the daemon's end, or a reload.
	browserShutdown = time.Second
)

// browserKey is the key of an http.Request's *browser.Conn.
type browserKey struct{}

// listenForBrowsers opens the socket of the page: for this host's users, or with TLS for those of
// other hosts who are named. It is closed after the drain, which can so be watched to its end.
func (d *Daemon) listenForBrowsers(p *parts) (*socket, error) {
	l, err := d.browsers(p)
	if err != nil {
		return nil, fmt.Errorf("listen for browsers at %s (web.listen): %w", p.Config.Web.Listen, err)
	}
	page := d.page()
	server := &http.Server{
		Handler:           page,
		ReadHeaderTimeout: browserTimeout,
		IdleTimeout:       p.Config.Limits.IdleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(d.Log, "page: ", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, browserKey{}, c)
		},
	}
	closed := make(chan struct{})
	d.Work.Go(func() { // once another process serves, browsers are to turn to that one
		select {
		case <-d.offer.Handed:
			page.Close()
			server.SetKeepAlivesEnabled(false)
		case <-closed:
		}
	})
	at := l.Addr().String()
	d.pageAddr.Store(&at)
	return &socket{
		serve: func() { server.Serve(l) },
		close: func() {
			d.pageAddr.CompareAndSwap(&at, nil)
			close(closed)
			page.Close()
			shutdown(server, browserShutdown)
			l.Close() // which the server has not heard of where it does not serve yet
		},
	}, nil
}

// makeToken makes the token for the page, and lets those read it who are users now.
func (d *Daemon) makeToken() {
	p := d.now()
	if p.Config.Web.Listen == config.WebOff {
		return
	}
	if err := d.Dir.MakeToken(p.UIDs); err != nil {
		d.Log.Warn().Err(err).Msg("not all users can cancel migrations by the page")
	}
}

// browsers listens for them where the configuration says.
func (d *Daemon) browsers(p *parts) (net.Listener, error) {
	now := func() *host.Host { return d.now().Host }
	at := p.Config.Web.Listen
	if at == config.WebUnix {
		l, err := d.Sockets.Listen(rundir.WebSocket, func() (net.Listener, error) { return d.Dir.Listen(rundir.WebSocket, -1, 0o666) })
		if err != nil {
			return nil, err
		}
		return browser.Local(l, now), nil
	}
	l, err := d.Sockets.Listen("page "+at, func() (net.Listener, error) {
		var lc net.ListenConfig
		return lc.Listen(d.working, "tcp", at)
	})
	if err != nil {
		return nil, err
	}
	if !p.Config.Web.Local() {
		return browser.Remote(d.working, l, now), nil
	}
	if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("that is %v, which other hosts reach: write an IP address", ip)
	}
	return browser.Local(l, now), nil
}
