package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/virt-sluice/sluice/proxy/gateway"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/intercept"
	"github.com/virt-sluice/sluice/proxy/rundir"
)

// socket is one that the configuration asks for, or a pair of such: those of peers, of interception
// and of metrics. All that a reload asks for are opened before it takes effect, so that none that
// can't be leaves it half done, and those that it does not ask for are closed after that.
type socket struct {
	serve func() // nil: what serves it runs already
	close func()
}

// wanted are the sockets that p asks for, by what they are.
func (d *Daemon) wanted(p *parts) map[string]func() (*socket, error) {
	all := make(map[string]func() (*socket, error))
	for name := range p.Peers.All {
		all["the socket of peer "+name] = func() (*socket, error) { return d.listenForClients(name) }
	}
	for link, name := range p.Config.Links() {
		all[fmt.Sprintf("the name %s for the socket of peer %s", link, name)] = func() (*socket, error) { return d.link(link, name) }
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
			for _, s := range opened {
				s.close()
			}
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

// closeSockets closes all, at the daemon's end.
func (d *Daemon) closeSockets() {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	for _, s := range d.open {
		s.close()
	}
}

// link gives the folder of a peer's socket a further name.
func (d *Daemon) link(link, name string) (*socket, error) {
	path := filepath.Join(rundir.PeersDir, link)
	if err := d.Dir.Symlink(name, path); err != nil {
		return nil, err
	}
	return &socket{close: func() { d.Dir.RemoveLink(name, path) }}, nil
}

// listenForClients makes a peer's folder with the socket of its libvirt clients.
func (d *Daemon) listenForClients(name string) (*socket, error) {
	dir := filepath.Join(rundir.PeersDir, name)
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
