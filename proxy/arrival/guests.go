package arrival

import (
	"fmt"
	"sync"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// guests are those that are on their way here, each under its UUID and its name.
type guests struct {
	mu  sync.Mutex
	all []*Guest
}

// add enters g unless another has its UUID or name, which it returns.
func (gs *guests) add(g *Guest) (other *Guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, o := range gs.all {
		if o.UUID == g.UUID || o.Name == g.Name {
			return o
		}
	}
	gs.all = append(gs.all, g)
	return nil
}

func (gs *guests) remove(g *Guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for i, o := range gs.all {
		if o == g {
			gs.all = append(gs.all[:i], gs.all[i+1:]...)
			return
		}
	}
}

// Named is the guest on its way here that has a name, or nil.
func (a *Arrivals) Named(name string) *Guest {
	a.guests.mu.Lock()
	defer a.guests.mu.Unlock()
	for _, g := range a.guests.all {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// claim excludes other processes of this host's sluice, which have guests of their own.
func (g *Guest) claim() error {
	for i, name := range g.claims() {
		is, err := g.arrivals.Dir.Claim(name)
		if err == nil && !is {
			err = fmt.Errorf("guest %s (%s) is on its way to %s already: it came before its sluice was replaced", g.Name, virt.FormatUUID(g.UUID), g.arrivals.Config.Name)
		}
		if err != nil {
			for _, name := range g.claims()[:i] {
				g.arrivals.Dir.Unclaim(name)
			}
			g.arrivals.guests.remove(g)
			return err
		}
	}
	return nil
}

func (g *Guest) claims() []string {
	return []string{"arrival of " + virt.FormatUUID(g.UUID), "arrival as " + g.Name}
}
