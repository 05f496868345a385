package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/credentials"
	"github.com/virt-sluice/sluice/tlsconf"
)

// certificates are this host's credentials and TLS policies, which follow what
// they are made of. A handshake takes the newest; connections that are open
// keep what they began with.
type certificates struct {
	read     func() (*config.Policies, error)
	log      zerolog.Logger
	source   credentials.Source
	policies atomic.Pointer[config.Policies]

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
	aboutFiles    = "certificates"
	aboutPolicies = "priority"
	aboutChanges  = "changes" // they are not followed any more
)

// reloads is all of them.
func reloads() []string { return []string{aboutPolicies, aboutFiles, aboutChanges} }

// loadCertificates loads everything once, and fails unless all of it is good.
// read parses the policies anew.
func loadCertificates(conf config.Certificates, policies *config.Policies, read func() (*config.Policies, error), log zerolog.Logger) (*certificates, error) {
	c := &certificates{read: read, log: log, loaded: time.Now(), failed: make(map[string]failure), fails: make(map[string]uint64), told: make(map[string]bool)}
	c.policies.Store(policies)
	var err error
	c.source, err = credentials.Open(context.Background(), conf, credentials.Watch{Changed: c.changed, Failed: c.refused, Mended: c.recovered})
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	c.warn(c.current())
	return c, nil
}

// hostCertificates are those of a configuration.
func hostCertificates(conf *config.Config, log zerolog.Logger) (*certificates, error) {
	policies, err := conf.Policies()
	if err != nil {
		return nil, err
	}
	return loadCertificates(conf.Certificates, policies, conf.ReadPolicies, log)
}

func (c *certificates) current() *tlsconf.Credentials { return c.source.Current() }

// host is the policy of handshakes with those whose name is not known yet.
func (c *certificates) host() *tlsconf.Policy { return c.policies.Load().Host }

// with is the policy of connections with a peer.
func (c *certificates) with(p *peer) *tlsconf.Policy { return c.policies.Load().Peers[p.name] }

// run follows the certificates, and warns of their end, until ctx is done.
func (c *certificates) run(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() {
		if err := c.source.Run(ctx); err != nil && ctx.Err() == nil {
			c.fail(aboutChanges, fmt.Errorf("changes are not followed any more; SIGHUP takes them over: %w", err))
		}
	})
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		c.warnOfEnds(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// reload takes over what has changed, at once. What is not good leaves what
// was there before in use, and is the error.
func (c *certificates) reload() error {
	policies, err := c.read()
	if err != nil {
		err = fmt.Errorf("GnuTLS's settings are not taken over, those read before stay in use: %w", err)
		c.fail(aboutPolicies, err)
	} else {
		c.policies.Store(policies)
		c.mended(aboutPolicies)
	}
	return errors.Join(err, c.source.Reload())
}

// changed is told of each new set.
func (c *certificates) changed(creds *tlsconf.Credentials) {
	c.mended(aboutFiles)
	c.mu.Lock()
	c.loaded = time.Now()
	c.mu.Unlock()
	c.log.Info().Str("certificates", creds.Found.Why).Str("subject", creds.Leaf.Subject.String()).Time("not_after", creds.Leaf.NotAfter).
		Msg("new certificates are in use; connections that are open go on with the old ones")
	c.warn(creds)
	c.warnOfEnds(time.Now())
}

// refused is told of each set that is not good.
func (c *certificates) refused(err error) { c.fail(aboutFiles, err) }

// recovered is told when nothing is new and what was refused is over.
func (c *certificates) recovered() { c.mended(aboutFiles) }

func (c *certificates) fail(about string, err error) {
	c.mu.Lock()
	c.failed[about] = failure{err, time.Now()}
	c.fails[about]++
	c.mu.Unlock()
	c.log.Error().Err(err).Msg("reload failed")
}

func (c *certificates) mended(about string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failed, about)
}

// warn logs what works today and should be seen to.
func (c *certificates) warn(creds *tlsconf.Credentials) {
	for _, w := range creds.Warnings {
		c.log.Warn().Msg(w.Error())
	}
	for _, f := range c.host().Check(creds) {
		c.log.Warn().Msg(f.Error())
	}
}

// warnOfEnds logs, once for each certificate, that a fifth of its life is left.
func (c *certificates) warnOfEnds(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.current().Expiries(now) {
		id := e.What + e.Subject + e.NotAfter.String()
		if !e.Warn || c.told[id] {
			continue
		}
		c.told[id] = true
		c.log.Warn().Str("certificate", e.What).Str("subject", e.Subject).Time("not_after", e.NotAfter).Int64("seconds_left", e.Seconds).
			Msg("a certificate ends soon: have it renewed; the new one is taken over as soon as its file is there")
	}
}

// reloaded says whether what there was to take over has been, and how often it
// was not.
func (c *certificates) reloaded(about string) (good bool, failures uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, bad := c.failed[about]
	return !bad, c.fails[about]
}

// status is what `sluice status` shows of them.
func (c *certificates) status(now time.Time) control.CertificateStatus {
	creds := c.current()
	c.mu.Lock()
	defer c.mu.Unlock()
	st := control.CertificateStatus{
		Source: creds.Found.Layout,
		Why:    creds.Found.Why,
		Files:  files(creds.Found),
		Loaded: c.loaded,
		Expiry: []control.Expiry{},
	}
	for _, e := range creds.Expiries(now) {
		st.Expiry = append(st.Expiry, control.Expiry{What: e.What, Subject: e.Subject, NotAfter: e.NotAfter, Seconds: e.Seconds, Warn: e.Warn})
	}
	for _, w := range creds.Warnings {
		st.Warnings = append(st.Warnings, w.Error())
	}
	for _, about := range reloads() {
		if f, ok := c.failed[about]; ok {
			st.ReloadErrors = append(st.ReloadErrors, control.ReloadError{At: f.at, Error: f.err.Error()})
		}
	}
	return st
}

// files lists a set's files, each once.
func files(f tlsconf.Found) []string {
	list := []string{f.CA}
	add := func(path string) {
		for _, have := range list {
			if have == path {
				return
			}
		}
		if path != "" {
			list = append(list, path)
		}
	}
	add(f.CRL)
	for _, pairs := range [][]tlsconf.Pair{f.Server, f.Client} {
		for _, p := range pairs {
			add(p.Cert)
			add(p.Key)
		}
	}
	return list
}
