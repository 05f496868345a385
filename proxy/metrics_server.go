package proxy

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
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

// listenForScrapes opens the socket for Prometheus. It is closed after the drain, which can so be
// watched to its end.
func (d *Daemon) listenForScrapes(p *parts) (*socket, error) {
	l, err := d.Sockets.Listen("metrics "+p.Config.Metrics, func() (net.Listener, error) {
		var lc net.ListenConfig
		return lc.Listen(d.working, "tcp", p.Config.Metrics)
	})
	if err != nil {
		return nil, fmt.Errorf("listen for Prometheus at %s (metrics): %w", p.Config.Metrics, err)
	}
	at := l.Addr().String()
	server := d.scrapeServer(p.Config.Limits.IdleTimeout)
	d.metricsAddr.Store(&at)
	return &socket{
		serve: func() { server.Serve(netutil.LimitListener(l, maxScrapers)) },
		close: func() {
			d.metricsAddr.CompareAndSwap(&at, nil)
			shutdown(server, scrapeShutdown)
			l.Close() // which the server has not heard of where it does not serve yet
		},
	}, nil
}

// scrapeServer serves GET /metrics and nothing else.
func (d *Daemon) scrapeServer(idle time.Duration) *http.Server {
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics{d}, d.durations, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	errors := log.New(d.Log, "metrics: ", 0)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: errors}))
	return &http.Server{
		Handler:        mux,
		ReadTimeout:    scrapeTimeout,
		WriteTimeout:   scrapeTimeout,
		IdleTimeout:    idle,
		MaxHeaderBytes: 8 << 10,
		ErrorLog:       errors,
	}
}
