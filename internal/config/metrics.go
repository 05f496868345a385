package config

import "net"

// metrics checks where metrics are served. They go to whoever asks, so that unlike listen's the
// host must be written: all addresses are no one's oversight.
func (c *checker) metrics(cfg *Config) {
	if cfg.Metrics == "" {
		return
	}
	const key = "metrics"
	host, port, err := net.SplitHostPort(cfg.Metrics)
	switch {
	case err != nil:
		c.fault(key, `%q is not HOST:PORT; write for example "127.0.0.1:16515" or "[::1]:16515"`, cfg.Metrics)
	case host == "":
		c.fault(key, `%q names no host, which would be every address of this one, for anyone to read; write for example "127.0.0.1:%s", or "0.0.0.0:%[2]s" if that is meant`, cfg.Metrics, port)
	case !validHost(host):
		c.fault(key, "%q is neither an IP address nor a host name", host)
	case !validPort(port) && port != "0":
		c.fault(key, "port %q must be a number from 1 to 65535 (or 0, to let the kernel choose one, which is then in the log)", port)
	case port != "0" && taken(cfg.Listen, host, port):
		c.fault(key, "%q is where peers connect (listen); metrics need a port of their own", cfg.Metrics)
	}
}

// taken says whether a socket at listen leaves none for host and port.
func taken(listen, host, port string) bool {
	h, p, err := net.SplitHostPort(listen)
	return err == nil && p == port && (h == "" || h == host)
}
