package config

import (
	"net"
	"net/netip"

	"github.com/virt-sluice/sluice/tlsconf"
)

// Where the page is served, besides HOST:PORT.
const (
	WebUnix = "unix" // a socket in the run folder
	WebOff  = "off"
)

// Web is the page that shows what the daemon does.
type Web struct {
	Listen string   `toml:"listen"` // WebUnix, WebOff or HOST:PORT; default WebUnix
	Names  []string `toml:"names"`  // rules for the names in certificates of those who may look from other hosts
}

// Local says whether the page is for this host's users, and not for other hosts.
func (w Web) Local() bool {
	host, _, err := net.SplitHostPort(w.Listen)
	if err != nil || host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// web checks and completes where the page is served. It names guests, so that beyond this host
// somebody must be named who may look.
func (c *checker) web(cfg *Config) {
	w := &cfg.Web
	if w.Listen == "" {
		w.Listen = WebUnix
	}
	for _, rule := range w.Names {
		if _, err := tlsconf.ParseRules([]string{rule}); err != nil {
			c.fault("web.names", "%v", err)
		}
	}
	const key = "web.listen"
	host, port, err := net.SplitHostPort(w.Listen)
	switch {
	case w.Listen == WebUnix, w.Listen == WebOff:
	case err != nil:
		c.fault(key, `%q is neither %q, %q nor HOST:PORT; write for example "127.0.0.1:16517"`, w.Listen, WebUnix, WebOff)
	case host == "":
		c.fault(key, `%q names no host, which would be every address of this one; write for example "127.0.0.1:%s", or "0.0.0.0:%[2]s" if that is meant`, w.Listen, port)
	case !validHost(host):
		c.fault(key, "%q is neither an IP address nor a host name", host)
	case !validPort(port) && port != "0":
		c.fault(key, "port %q must be a number from 1 to 65535 (or 0, to let the kernel choose one, which is then in the log)", port)
	case port != "0" && taken(cfg.Listen, host, port):
		c.fault(key, "%q is where peers connect (listen); the page needs a port of its own", w.Listen)
	case port != "0" && taken(cfg.Metrics, host, port):
		c.fault(key, "%q is where metrics are served (metrics); the page needs a port of its own", w.Listen)
	}
	if !w.Local() && len(w.Names) == 0 {
		c.fault(key, "%q can be reached from other hosts, and nobody is named who may look: set names = [...] to what their certificates say, or listen at 127.0.0.1", w.Listen)
	}
}
