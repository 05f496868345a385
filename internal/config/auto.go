package config

import "github.com/virt-sluice/sluice/proxy/control"

// Auto is the goal of migrations that have one (`sluice migrate --auto`), where they do not say it.
type Auto struct {
	Always       bool     `toml:"always"`        // those of `sluice migrate` have one, unless they say how to go
	StockClients bool     `toml:"stock_clients"` // those that libvirt's clients run by the peers' sockets have it, too
	MaxDowntime  string   `toml:"max_downtime"`  // for which a guest may stand still; default "300ms"
	Deadline     string   `toml:"deadline"`      // for the whole, such as "10m" or "30s/GiB"; default none
	Allow        []string `toml:"allow"`         // what may be done to a guest; default nothing
}

// auto checks and completes the goal.
func (c *checker) auto(a *Auto) {
	if a.MaxDowntime == "" {
		a.MaxDowntime = control.DefaultMaxDowntime
	}
	if _, err := control.ParseMaxDowntime(a.MaxDowntime); err != nil {
		c.fault("auto.max_downtime", "%v", err)
	}
	if a.Deadline != "" {
		if _, err := control.ParseDeadline(a.Deadline); err != nil {
			c.fault("auto.deadline", "%v", err)
		}
	}
	if err := control.CheckAllow(a.Allow); err != nil {
		c.fault("auto.allow", "%v", err)
	}
}
