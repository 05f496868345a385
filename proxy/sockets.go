package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/gateway"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/intercept"
	"github.com/virt-sluice/sluice/proxy/rundir"
)

// socket is one that the configuration asks for, or a pair of such: those of peers, of interception,
// of metrics and of the page. All that a reload asks for are opened before it takes effect, so that none that
// can't be leaves it half done, and those that it does not ask for are closed after that.
type socket struct {
	serve func() // nil: what serves it runs already
	close func()
}

func socketOf(peer string) string { return "the socket of peer " + peer }

// wanted are the sockets that p asks for, by what they are.
func (d *Daemon) wanted(p *parts) map[string]func() (*socket, error) {
	all := make(map[string]func() (*socket, error))
	for _, name := range p.Peers.Names() {
		all[socketOf(name)] = func() (*socket, error) { return d.listenForClients(name) }
	}
	if i := p.Config.Intercept; i != nil {
		all[fmt.Sprintf("interception at port %d", i.Port)] = func() (*socket, error) {
			closers, err := intercept.Listen(d.working, i.Port, func() *host.Host { return d.now().Host })
			s := &socket{close: func() {
				for _, c := range closers {
					c()
				}
			}}
			if err != nil {
				s.close()
			}
			return s, err
		}
	}
	if at := p.Config.Metrics; at != "" {
		all["metrics at "+at] = func() (*socket, error) { return d.listenForScrapes(p) }
	}
	if at := p.Config.Web.Listen; at != config.WebOff {
		all["the page at "+at] = func() (*socket, error) { return d.listenForBrowsers(p) }
	}
	return all
}

// openSockets opens those that p asks for and that are not open, or none.
func (d *Daemon) openSockets(p *parts) (opened map[string]*socket, err error) {
	opened = make(map[string]*socket)
	all := d.wanted(p)
	for _, what := range slices.Sorted(maps.Keys(all)) {
		if d.open[what] != nil {
			continue
		}
		if opened[what], err = all[what](); err != nil {
			delete(opened, what)
			closeAll(opened)
			return nil, err
		}
	}
	return opened, nil
}

// serveSockets has what was opened served, and closes what the configuration in use does not ask
// for. Connections that have come in go on.
func (d *Daemon) serveSockets(opened map[string]*socket) {
	for what, s := range opened {
		d.open[what] = s
		if s.serve != nil {
			d.Work.Go(s.serve)
		}
	}
	wanted := d.wanted(d.now())
	for what, s := range d.open {
		if wanted[what] == nil {
			s.close()
			delete(d.open, what)
		}
	}
}

// meet gives hosts of patterns a socket once they have shown their certificates, and takes it from
// those that are forgotten, until ctx ends.
func (d *Daemon) meet(ctx context.Context) {
	again := time.NewTicker(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-d.now().Peers.Known():
		case <-again.C:
			d.now().Peers.Expire()
		case <-ctx.Done():
			return
		}
		d.socketsAgain(ctx)
	}
}

// socketsAgain opens and closes sockets as the peers are now, until ctx ends, which comes before all
// are closed.
func (d *Daemon) socketsAgain(ctx context.Context) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if ctx.Err() != nil {
		return
	}
	d.offer.IfServing(func() {
		opened, err := d.openSockets(d.now())
		if err != nil {
			d.Log.Error().Err(err).Msg("hosts that were found have no sockets")
			return
		}
		d.serveSockets(opened)
	})
}

// closeSockets closes all, at the daemon's end.
func (d *Daemon) closeSockets() {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	closeAll(d.open)
}

func closeAll(sockets map[string]*socket) {
	for _, s := range sockets {
		s.close()
	}
}

// linkPeers gives the folders of peers' sockets the further names that the configuration in use has
// for them, and leaves no others. A name leads to another peer only once its configuration is in
// use: whoever follows it has a guest go there.
func (d *Daemon) linkPeers() {
	p := d.now()
	links := p.Config.Links()
	err := d.Dir.SweepPeers(func(name string) bool { return d.open[socketOf(name)] != nil || links[name] != "" })
	for link, name := range links {
		err = errors.Join(err, d.Dir.Symlink(name, filepath.Join(rundir.PeersDir, link)))
	}
	if err != nil {
		d.Log.Error().Err(err).Msg("the folders of peers' sockets are not all as the configuration has them")
	}
}

// listenForClients makes a peer's folder with the socket of its libvirt clients. A link in its place
// goes: it is from when the name stood for another peer, in whose folder the socket would be.
func (d *Daemon) listenForClients(name string) (*socket, error) {
	dir := filepath.Join(rundir.PeersDir, name)
	d.Dir.Unlink(dir)
	if err := d.Dir.Mkdir(dir, 0o711); err != nil && !errors.Is(err, fs.ErrExist) { // of an earlier process
		return nil, err
	}
	l, err := d.listenLocally(filepath.Join(dir, rundir.LibvirtSocket))
	if err != nil {
		d.Dir.Remove(dir)
		return nil, err
	}
	return &socket{
		serve: func() {
			gateway.ServeClients(d.working, name, l, func() *gateway.Gateway { return d.now().gateway })
		},
		close: func() {
			l.Close()
			d.Dir.Remove(dir)
		},
	}, nil
}
