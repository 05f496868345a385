package peer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/credentials"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Certificates are this host's credentials, which follow what they are made of. A handshake takes
// the newest; connections that are open keep what they began with.
type Certificates struct {
	log    zerolog.Logger
	Source credentials.Source
	policy atomic.Pointer[tlsconf.Policy] // that they are used under, for warnings
	stop   chan struct{}                  // closed by Stop

	mu     sync.Mutex
	loaded time.Time
	failed map[string]failure // by what was not taken over
	fails  map[string]uint64  // how often that was, by the same
	told   map[string]bool    // certificates whose end has been warned of
}

type failure struct {
	err error
	at  time.Time
}

// What may fail to be taken over.
const (
	aboutFiles   = "certificates"
	aboutChanges = "changes" // they are not followed any more
)

// ReloadParts is all of them.
func ReloadParts() []string { return []string{aboutFiles, aboutChanges} }

// LoadCertificates loads everything once, and fails unless all of it is good.
func LoadCertificates(conf config.Certificates, policy *tlsconf.Policy, log zerolog.Logger) (*Certificates, error) {
	c := &Certificates{log: log, stop: make(chan struct{}), loaded: time.Now(), failed: make(map[string]failure), fails: make(map[string]uint64), told: make(map[string]bool)}
	c.SetPolicy(policy)
	var err error
	c.Source, err = credentials.Open(context.Background(), conf, credentials.Watch{Changed: c.changed, Failed: c.refused, Mended: c.recovered})
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	c.warn(c.Current())
	return c, nil
}

// SetPolicy says under which policy they are used from now on.
func (c *Certificates) SetPolicy(p *tlsconf.Policy) { c.policy.Store(p) }

// Current are the newest that are good.
func (c *Certificates) Current() *tlsconf.Credentials { return c.Source.Current() }

// Stop ends Run, for certificates whose place others have taken. Those that have begun with them use
// them as they are.
func (c *Certificates) Stop() { close(c.stop) }

// Run follows the certificates, and warns of their end, until ctx is done or they are stopped.
func (c *Certificates) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() {
		if err := c.Source.Run(ctx); err != nil && ctx.Err() == nil {
			c.fail(aboutChanges, fmt.Errorf("changes are no longer noticed; SIGHUP reloads: %w", err))
		}
	})
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		c.WarnOfEnds(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Reload takes over what has changed, at once. What is not good leaves what
// was there before in use, and is the error.
func (c *Certificates) Reload() error { return c.Source.Reload() }

// changed is told of each new set.
func (c *Certificates) changed(creds *tlsconf.Credentials) {
	c.mended(aboutFiles)
	c.mu.Lock()
	c.loaded = time.Now()
	c.mu.Unlock()
	c.log.Info().Str("certificates", creds.Found.Why).Str("subject", creds.Leaf.Subject.String()).Time("not_after", creds.Leaf.NotAfter).
		Msg("new certificates are in use; open connections keep the old ones")
	c.warn(creds)
	c.WarnOfEnds(time.Now())
}

// refused is told of each set that is not good.
func (c *Certificates) refused(err error) { c.fail(aboutFiles, err) }

// recovered is told when nothing is new and what was refused is over.
func (c *Certificates) recovered() { c.mended(aboutFiles) }

func (c *Certificates) fail(about string, err error) {
	c.mu.Lock()
	c.failed[about] = failure{err, time.Now()}
	c.fails[about]++
	c.mu.Unlock()
	c.log.Error().Err(err).Msg("reload failed")
}

func (c *Certificates) mended(about string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failed, about)
}

// warn logs what works today and should be seen to.
func (c *Certificates) warn(creds *tlsconf.Credentials) {
	for _, w := range creds.Warnings {
		c.log.Warn().Msg(w.Error())
	}
	for _, f := range c.policy.Load().Check(creds) {
		c.log.Warn().Msg(f.Error())
	}
}

// WarnOfEnds logs, once for each certificate, that a fifth of its life is left.
func (c *Certificates) WarnOfEnds(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.Current().Expiries(now) {
		id := e.What + e.Subject + e.NotAfter.String()
		if !e.Warn || c.told[id] {
			continue
		}
		c.told[id] = true
		c.log.Warn().Str("certificate", e.What).Str("subject", e.Subject).Time("not_after", e.NotAfter).Int64("seconds_left", e.Seconds).
			Msg("a certificate expires soon: renew it; the new one is used as soon as its file is there")
	}
}

// Reloaded says whether what there was to take over has been, and how often it was not.
func (c *Certificates) Reloaded(about string) (good bool, failures uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, bad := c.failed[about]
	return !bad, c.fails[about]
}

// Status is what `sluice status` shows of them.
func (c *Certificates) Status(now time.Time) control.CertificateStatus {
	creds := c.Current()
	c.mu.Lock()
	defer c.mu.Unlock()
	st := control.CertificateStatus{
		Source: creds.Found.Layout,
		Why:    creds.Found.Why,
		Files:  creds.Found.Paths(),
		Loaded: c.loaded,
		Expiry: []control.Expiry{},
	}
	for _, e := range creds.Expiries(now) {
		st.Expiry = append(st.Expiry, control.Expiry{What: e.What, Subject: e.Subject, NotAfter: e.NotAfter, Seconds: e.Seconds, Warn: e.Warn})
	}
	for _, w := range creds.Warnings {
		st.Warnings = append(st.Warnings, w.Error())
	}
	for _, about := range ReloadParts() {
		if f, ok := c.failed[about]; ok {
			st.ReloadErrors = append(st.ReloadErrors, control.ReloadError{At: f.at, Error: f.err.Error()})
		}
	}
	return st
}
