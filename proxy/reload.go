package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
)

// refusedConfig is the configuration that was read last and is not in use.
type refusedConfig struct {
	at  time.Time
	sum config.Sum // zero: it could not be read
	err error
}

// errNotServing: the sockets are no longer this process's.
var errNotServing = errors.New("this process of sluice no longer serves this host: it finishes what it has")

const notReloaded = "reload failed: the configuration from before stays in use"

// Reload takes over the configuration, certificates, revocation lists and GnuTLS's settings as they
// are now. The configuration is read and checked, what it asks for is loaded and opened, and then
// all of it takes effect at once; what began before keeps what it began with. What is not good
// leaves what was there before in use, and is the error, which has been logged.
func (d *Daemon) Reload() (*control.Reloaded, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	select {
	case <-d.ready:
	default:
		return nil, errors.New("the daemon has not started yet")
	}
	if d.Sessions.Draining() { // those that drain go on as they are, but for what is followed anyway
		d.Log.Error().Err(session.ErrDraining).Msg(notReloaded)
		return nil, errors.Join(session.ErrDraining, d.reloadCertificates(d.now()))
	}
	return d.reloadConfig()
}

// reloadCertificates takes over what has changed of the certificates that are in use, and of which p
// makes use, too. They are followed, so they need not wait until p is in use.
func (d *Daemon) reloadCertificates(p *parts) (err error) {
	if p.Peers.Certs == d.now().Peers.Certs { // others have just been read
		err = p.Peers.Certs.Reload()
	}
	return errors.Join(err, d.reloadTunnels())
}

func (d *Daemon) reloadConfig() (*control.Reloaded, error) {
	before := d.now()
	file := before.Config.Files()[0]
	refused := &refusedConfig{at: time.Now()}
	cfg, err := config.Load(file)
	if err == nil {
		refused.sum = cfg.Sum()
	} else if sum, unread := config.ReadSum(file); unread == nil {
		refused.sum = sum
	}
	var p *parts
	if err == nil {
		p, err = d.next(before, cfg)
	}
	if err == nil {
		err = d.reloadCertificates(p)
		if err != nil && cfg.Sum() == before.Config.Sum() {
			return nil, err // the configuration is in use
		}
	}
	if err == nil {
		err = d.takeOver(before, p)
	}
	switch {
	case errors.Is(err, errNotServing):
		d.Log.Error().Err(err).Msg(notReloaded)
		return nil, err
	case err != nil:
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (the daemon gives up at its start what its configuration does not need; if this is new in it, it takes a restart)", err)
		}
		refused.err = fmt.Errorf("the configuration was not reloaded, and the one before stays in use: %w", err)
		d.refused.Store(refused)
		d.failures.Add(1)
		d.Log.Error().Err(err).Msg(notReloaded)
		return nil, refused.err
	}
	d.refused.Store(nil)
	r := d.compare(before, p)
	log := d.Log.Info().Strs("files", cfg.Files())
	for key, names := range map[string][]string{"peers_added": r.Added, "peers_removed": r.Removed, "restart_for": r.Restart} {
		if len(names) > 0 {
			log.Strs(key, names)
		}
	}
	log.Msg("configuration reloaded")
	for _, note := range r.Notes {
		d.Log.Warn().Msg(note)
	}
	return r, nil
}

// next are the parts as cfg has them.
func (d *Daemon) next(before *parts, cfg *config.Config) (*parts, error) {
	p := &parts{loaded: time.Now()}
	cfg, p.restart = cfg.After(before.Config)
	peers, err := before.Peers.Next(cfg)
	if err != nil {
		return nil, err
	}
	if p.Host, err = d.host(cfg, peers); err != nil {
		return nil, err
	}
	p.arrivals = before.arrivals.On(p.Host)
	p.gateway = before.gateway.On(p.Host, p.arrivals)
	return p, d.makeTunnels(before.tunnels, p)
}

// takeOver puts p in the place of before, with the sockets that it asks for, or changes nothing.
func (d *Daemon) takeOver(before, p *parts) error {
	err := errNotServing
	d.offer.IfServing(func() {
		var opened map[string]*socket
		if opened, err = d.openSockets(p); err == nil {
			if err = d.openTunnels(p); err != nil {
				closeAll(opened)
			}
		}
		if err != nil {
			d.linkPeers() // a socket may have taken a name's place
			return
		}
		if p.Peers.Certs != before.Peers.Certs {
			d.follow(p.Peers.Certs)
		}
		d.take(p)
		d.makeToken()
		d.serveSockets(opened)
		d.serveTunnels(before.tunnels)
		d.linkPeers()
		if p.Peers.Certs != before.Peers.Certs {
			before.Peers.Certs.Stop()
		}
	})
	return err
}

// follow has certificates followed, until they are stopped.
func (d *Daemon) follow(c *peer.Certificates) {
	d.Work.Go(func() { c.Run(d.working) })
}

// compare says what a reload has changed that somebody should know of.
func (d *Daemon) compare(before, p *parts) *control.Reloaded {
	r := &control.Reloaded{Files: p.Config.Files(), Restart: p.restart}
	was, is := before.Config.PeerNames(), p.Config.PeerNames()
	r.Added, r.Removed = without(is, was), without(was, is)
	if len(p.restart) > 0 {
		r.Notes = append(r.Notes, restartNote(p.restart))
	}
	r.Notes = append(r.Notes, d.goingOn(before.Config, p.Config)...)
	for _, e := range before.tunnels {
		if n := len(e.Tunnel.Status().Live); n > 0 && !p.serves(e) {
			r.Notes = append(r.Notes, fmt.Sprintf("tunnel %q was removed: its connections (%d) go on to their end, and no others begin", e.conf.Name, n))
		}
	}
	return r
}

// without is a list without what is in another.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

// goingOn tells of sessions under way of those that are let in no more, or may do other things.
func (d *Daemon) goingOn(before, after *config.Config) (notes []string) {
	live, _, _ := d.Sessions.Status()
	count := make(map[string]int)
	peers := make(map[string]bool)
	for _, s := range live {
		peers[s.Peer] = true
		table := "peers." + s.Peer
		if _, is := before.Clients[s.Peer]; is && s.Kind == session.WorkClient {
			table = "clients." + s.Peer
		}
		count[table]++
	}
	say := func(table string, was, is any, there bool) {
		n := count[table]
		switch {
		case n == 0 || there && reflect.DeepEqual(was, is):
		case there:
			notes = append(notes, fmt.Sprintf("%s was changed: what is under way there (sessions: %d) goes on as it began, and new sessions go by what is written now", table, n))
		default:
			notes = append(notes, fmt.Sprintf("%s was removed: what is under way there (sessions: %d) goes on to its end, and nothing new begins", table, n))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(peers)) {
		if was, known := before.Peer(name); known {
			is, there := after.Peer(name)
			say("peers."+name, was, is, there)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.Clients)) {
		is, there := after.Clients[name]
		say("clients."+name, before.Clients[name], is, there)
	}
	return notes
}

func restartNote(keys []string) string {
	return fmt.Sprintf("the configuration has other values than those in use, which take a restart: %s (`systemctl restart sluice` leaves migrations under way alone)", strings.Join(keys, ", "))
}

// reload answers `sluice reload`.
func (d *Daemon) reload(context.Context) (*control.Reloaded, error) { return d.Reload() }

// configuration is what `sluice status` shows of it.
func (d *Daemon) configuration(p *parts) control.ConfigurationStatus {
	st := control.ConfigurationStatus{Files: p.Config.Files(), Loaded: p.loaded, Restart: p.restart}
	sum, err := config.ReadSum(st.Files[0])
	refused := d.refused.Load()
	switch {
	case err == nil && sum == p.Config.Sum():
	case refused != nil && (err == nil && sum == refused.sum || err != nil):
		st.Differs, st.Refused = true, &control.ReloadError{At: refused.at, Error: refused.err.Error()}
	case err != nil:
		st.Differs, st.Refused = true, &control.ReloadError{At: time.Now(), Error: err.Error()}
	default:
		st.Differs = true
	}
	return st
}
