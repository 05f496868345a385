package proxy

import (
	"maps"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/intercept"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// What Prometheus is told; docs/metrics.md has the same. Guests and peers are not named: whoever
// can reach the address may read it, and each new name would be a new series.
var (
	sessionsMetric     = newMetric("sessions", "Sessions under way.", "direction", "work")
	endedMetric        = newMetric("sessions_ended_total", "Sessions that have ended.", "direction", "work", "outcome")
	failedMetric       = newMetric("session_failures_total", "Sessions that ended neither done nor moved, by the code of their cause.", "direction", "code")
	sentMetric         = newMetric("sent_bytes_total", "Bytes carried to peers, before encryption, by kind of channel.", "channel")
	receivedMetric     = newMetric("received_bytes_total", "Bytes carried from peers, after decryption, by kind of channel.", "channel")
	tunnelMetric       = newMetric("tunnel_connections", "Connections of tunnels under way.", "tunnel")
	tunnelEndedMetric  = newMetric("tunnel_connections_ended_total", "Connections of tunnels that have ended.", "tunnel", "outcome")
	tunnelSentMetric   = newMetric("tunnel_sent_bytes_total", "Bytes that tunnels carried from clients to targets.", "tunnel")
	tunnelBackMetric   = newMetric("tunnel_received_bytes_total", "Bytes that tunnels carried from targets to clients.", "tunnel")
	refusedMetric      = newMetric("handshakes_refused_total", "Connections to the peers' port that were refused during or right after their TLS handshake.", "reason")
	drainingMetric     = newMetric("draining", "1 once no session may begin any more, as before a stop.")
	leavingMetric      = newMetric("leaving_guests", "Guests whose destination was asked to take them over, until it is settled where they run. Those overdue need an operator.", "state")
	historyMetric      = newMetric("history_kept", "1 if history is kept, 0 if it can't be written; absent where none is.")
	certificateMetric  = newMetric("certificate_not_after_timestamp_seconds", "When a certificate in use expires.", "role", "file", "subject")
	crlMetric          = newMetric("crl_next_update_timestamp_seconds", "When a revocation list in use expires.", "file", "issuer")
	reloadMetric       = newMetric("last_reload_successful", "1 if the last reload succeeded, 0 if what was there before is still in use.", "part")
	reloadFailedMetric = newMetric("reload_failures_total", "Reloads that failed.", "part")
	plainMetric        = newMetric("plain_migrations_total", "Migrations begun in clear with hosts that have no sluice.", "direction")
	interceptMetric    = newMetric("interception", "1 if the kernel redirects QEMU's own connections to this daemon, 0 if they may go in clear.")
	buildMetric        = newMetric("build_info", "1, labelled with the versions of sluice and of the Go that built it.", "version", "goversion")
)

func newMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

// metrics is a prometheus.Collector that reads what the daemon knows anyway
// when it is asked. Nothing is counted for it where bytes move.
type metrics struct{ d *Daemon }

func (m metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		sessionsMetric, endedMetric, failedMetric, sentMetric, receivedMetric, refusedMetric,
		drainingMetric, leavingMetric, historyMetric, certificateMetric, crlMetric, reloadMetric, reloadFailedMetric, plainMetric, interceptMetric, buildMetric,
		tunnelMetric, tunnelEndedMetric, tunnelSentMetric, tunnelBackMetric,
	} {
		out <- d
	}
	for _, d := range progressMetric {
		out <- d
	}
}

func (m metrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	p := m.d.now()
	live, t := m.d.Sessions.Totals()
	for l, n := range live {
		gauge(sessionsMetric, float64(n), l.Direction, l.Work)
	}
	m.collectProgress(gauge)
	gauge(drainingMetric, flag(m.d.Sessions.Draining()))
	waiting, overdue := 0, 0
	for _, s := range m.d.Departures.Status() {
		if s.Overdue {
			overdue++
		} else {
			waiting++
		}
	}
	gauge(leavingMetric, float64(waiting), "waiting")
	gauge(leavingMetric, float64(overdue), "overdue")
	if st := m.d.history.status(); st.File != "" {
		gauge(historyMetric, flag(st.Problem == ""))
	}
	for e, n := range t.Ended {
		count(endedMetric, n, e.Direction, e.Work, e.Outcome)
	}
	for f, n := range t.Failed {
		count(failedMetric, n, f.Direction, f.Code)
	}
	for kind, n := range t.Sent {
		count(sentMetric, n, kind)
	}
	for kind, n := range t.Received {
		count(receivedMetric, n, kind)
	}
	for cause, n := range p.Peers.Refusals.Counts() {
		count(refusedMetric, n, string(cause))
	}
	for direction, n := range m.d.Sessions.InClear.Counts() {
		count(plainMetric, n, direction)
	}
	for _, t := range m.d.tunnelStatus(time.Now()) {
		name := stream.Printable(t.Name)
		gauge(tunnelMetric, float64(len(t.Connections)), name)
		count(tunnelEndedMetric, t.Done, name, session.OutcomeDone)
		count(tunnelEndedMetric, t.Failed, name, control.Failed)
		count(tunnelSentMetric, t.Sent, name)
		count(tunnelBackMetric, t.Received, name)
	}
	for s, at := range m.d.endings() {
		if s.role == roleCRL {
			gauge(crlMetric, float64(at.Unix()), s.file, s.name)
			continue
		}
		gauge(certificateMetric, float64(at.Unix()), s.role, s.file, s.name)
	}
	for _, part := range peer.ReloadParts() {
		all, failures := true, uint64(0)
		for _, c := range m.d.allCertificates() {
			good, n := c.Reloaded(part)
			all = all && good
			failures += n
		}
		gauge(reloadMetric, flag(all), part)
		count(reloadFailedMetric, failures, part)
	}
	gauge(reloadMetric, flag(m.d.refused.Load() == nil), "configuration")
	count(reloadFailedMetric, m.d.failures.Load(), "configuration")
	if st := intercept.Status(p.Config.Intercept); st != nil {
		gauge(interceptMetric, flag(st.Problem == ""))
	}
	gauge(buildMetric, 1, stream.Printable(m.d.version), runtime.Version())
}

// flag is a truth as Prometheus has it.
func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// roleCRL stands beside the roles of certificates (tlsconf.Expiry.What).
const roleCRL = "crl"

// ends is what runs out: a certificate or a revocation list. name is its subject or issuer.
type ends struct{ role, file, name string }

// endings are when what is in use ends, the host's and tunnels' own.
func (d *Daemon) endings() map[ends]time.Time {
	all := make(map[ends]time.Time)
	for _, c := range d.allCertificates() {
		maps.Copy(all, endingsOf(c.Current())) // of two in one file the same
	}
	return all
}

// endingsOf are when what is in use ends. A file may hold two of one name, as where an authority has
// changed its key; the one that ends first counts.
func endingsOf(creds *tlsconf.Credentials) map[ends]time.Time {
	all := make(map[ends]time.Time)
	add := func(role, file, name string, at time.Time) {
		// A label that is not UTF-8 would end the scrape.
		s := ends{role, stream.Printable(file), stream.Printable(name)}
		if have, ok := all[s]; !ok || at.Before(have) {
			all[s] = at
		}
	}
	for _, e := range creds.Expiries(time.Now()) {
		add(e.What, e.File, e.Subject, e.NotAfter)
	}
	for _, l := range creds.ListExpiries() {
		add(roleCRL, l.File, l.Issuer, l.NextUpdate)
	}
	return all
}
