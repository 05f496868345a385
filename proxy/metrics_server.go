package proxy

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

const (
	// maxScrapers is how many connections for metrics are served at once; more
	// wait in the kernel. It keeps descriptors for guests.
	maxScrapers = 16
	// scrapeTimeout bounds a request, and an answer that is read slowly.
	scrapeTimeout = 10 * time.Second
	// scrapeShutdown is how long a scrape may delay the daemon's end.
	scrapeShutdown = time.Second
)

// listenForScrapes opens the socket for Prometheus and serves it until closed by what is returned.
// It comes last and is closed last, so that a drain can be watched to its end.
func (d *Daemon) listenForScrapes(ctx context.Context) (closer func(), err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", d.Config.Metrics)
	if err != nil {
		return nil, fmt.Errorf("listen for Prometheus at %s (metrics): %w", d.Config.Metrics, err)
	}
	d.metricsAddr = l.Addr().String()
	server := d.scrapeServer()
	d.Work.Go(func() { server.Serve(netutil.LimitListener(l, maxScrapers)) })
	return func() { shutdown(server, scrapeShutdown) }, nil
}

// scrapeServer serves GET /metrics and nothing else.
func (d *Daemon) scrapeServer() *http.Server {
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics{d})
	errors := log.New(d.Log, "metrics: ", 0)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: errors}))
	return &http.Server{
		Handler:        mux,
		ReadTimeout:    scrapeTimeout,
		WriteTimeout:   scrapeTimeout,
		IdleTimeout:    d.Config.Limits.IdleTimeout,
		MaxHeaderBytes: 8 << 10,
		ErrorLog:       errors,
	}
}
