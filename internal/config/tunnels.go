package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/tunnel"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Tunnel is one [[tunnel]]. The command sluice tunnel is one, too, by its
// flags.
type Tunnel struct {
	Name   string `toml:"name"`   // in messages, status and metrics; default: Listen
	Listen string `toml:"listen"` // as tunnel.ParseAddress reads it
	To     string `toml:"to"`

	TLS          string       `toml:"tls"`          // "yes", "no", or empty for the host's default
	TLSName      string       `toml:"tls_name"`     // a rule for the server's certificate; default: the host of To
	Allow        []string     `toml:"allow"`        // rules for clients' certificates
	Priority     string       `toml:"priority"`     // instead of the host's
	Certificates Certificates `toml:"certificates"` // instead of the host's
	StartTLS     string       `toml:"starttls"`     // "nbd", or empty for TLS from the first byte
	CloseNotify  string       `toml:"close_notify"` // "required" or "optional"; default "required"

	User string `toml:"user"` // owns the unix socket at Listen; default: the daemon's own

	Bandwidth        int64         `toml:"bandwidth"`         // MiB/s each way, of all connections; default none
	Connections      int           `toml:"connections"`       // at once; default 512
	HandshakeTimeout time.Duration `toml:"handshake_timeout"` // default limits.handshake_timeout
	IdleTimeout      time.Duration `toml:"idle_timeout"`      // without a byte moving; default none
}

// Whether a stream without close_notify is complete.
const (
	CloseNotifyRequired = "required"
	CloseNotifyOptional = "optional"
)

// TunnelHost is what the host says of tunnels' TLS.
func (c *Config) TunnelHost() tunnel.Host {
	return tunnel.Host{TLS: c.TLSDefault, RequireSecure: c.Secure()}
}

// Options are the tunnel's, but for credentials and policy, on a host. The
// error's *TunnelError names the key.
func (t *Tunnel) Options(host tunnel.Host) (o tunnel.Options, err error) {
	key := ""
	defer func() {
		if err != nil {
			err = &TunnelError{Key: key, Err: err}
		}
	}()
	o = tunnel.Options{
		TLS: t.TLS, Host: host, StartTLS: t.StartTLS, LaxEnd: t.CloseNotify == CloseNotifyOptional,
		Limits: tunnel.Limits{Connections: t.Connections, Handshake: t.HandshakeTimeout, Idle: t.IdleTimeout, Bandwidth: t.Bandwidth << 20},
	}
	if key = "listen"; t.Listen == "" {
		return o, fmt.Errorf("is missing: write what to accept connections at, such as %q", "unix:/run/nbd.sock")
	}
	if o.Listen, err = tunnel.ParseAddress(t.Listen); err != nil {
		return o, err
	}
	if key = "to"; t.To == "" {
		return o, fmt.Errorf("is missing: write what to connect to, such as %q", "tls:host-b:10810")
	}
	if o.To, err = tunnel.ParseAddress(t.To); err == nil {
		err = o.To.Connects()
	}
	if err != nil {
		return o, err
	}
	if key = "tls_name"; t.TLSName != "" {
		if o.Names, err = tlsconf.ParseRules([]string{t.TLSName}); err != nil {
			return o, err
		}
	}
	key = "allow"
	if o.Allow, err = tlsconf.ParseRules(t.Allow); err != nil {
		return o, err
	}
	key = "close_notify"
	switch t.CloseNotify {
	case "", CloseNotifyRequired, CloseNotifyOptional:
	default:
		return o, fmt.Errorf("%q must be %q or %q", t.CloseNotify, CloseNotifyRequired, CloseNotifyOptional)
	}
	if key = "user"; t.User != "" {
		id, err := lookup(t.User)
		if err != nil {
			return o, err
		}
		uid := int(id.uid)
		o.SocketUser = &uid
	}
	key = ""
	return o, o.Check()
}

// TunnelError is what is wrong with a tunnel.
type TunnelError struct {
	Key string // empty: with several together
	Err error
}

func (e *TunnelError) Error() string {
	if e.Key == "" {
		return e.Err.Error()
	}
	return e.Key + ": " + e.Err.Error()
}

func (e *TunnelError) Unwrap() error { return e.Err }

// Limits of what a tunnel may be given.
const (
	maxTunnelConnections = 65536
	maxTunnelName        = 128
)

// tunnels checks and completes them. Their keys are tunnel.0, tunnel.1, …
func (c *checker) tunnels(cfg *Config, doc []documentTunnel) {
	taken := make(map[string]string) // what two tunnels cannot both have, and who has it
	for i, d := range doc {
		t, key := d.Tunnel, fmt.Sprintf("tunnel.%d", i)
		if t.Name == "" {
			t.Name = t.Listen
		}
		if len(t.Name) > maxTunnelName || t.Listen != "" && !printable(t.Name) {
			c.fault(key+".name", "%.150q must be up to %d printable characters", t.Name, maxTunnelName)
		}
		t.Certificates = d.Certificates.Certificates
		c.certificates(key+".certificates", &t.Certificates, &d.Certificates)
		t.HandshakeTimeout = c.duration(key+".handshake_timeout", d.HandshakeTimeout, cfg.Limits.HandshakeTimeout, 100*time.Millisecond, false)
		t.IdleTimeout = c.duration(key+".idle_timeout", d.IdleTimeout, None, time.Second, true)
		t.Connections = int(c.count(key+".connections", int64(t.Connections), tunnel.DefaultConnections, 1, maxTunnelConnections))
		t.Bandwidth = c.size(key+".bandwidth", t.Bandwidth, maxMiB)
		if o, err := t.Options(cfg.TunnelHost()); err != nil {
			e := err.(*TunnelError)
			c.fault(strings.TrimSuffix(key+"."+e.Key, "."), "%v", e.Err)
		} else {
			for _, has := range claims(t.Name, o) {
				if other, ok := taken[has]; ok {
					c.fault(key, "%s is that of tunnel %q already", has, other)
				}
				taken[has] = t.Name
			}
		}
		cfg.Tunnels = append(cfg.Tunnels, t)
	}
}

// claims are what no other tunnel may have.
func claims(name string, o tunnel.Options) []string {
	all := []string{fmt.Sprintf("its name, %q (set name),", name)}
	for _, a := range []tunnel.Address{o.Listen, o.To} {
		if a.Kind == tunnel.FD {
			for n := range strings.SplitSeq(a.At, ",") {
				all = append(all, "descriptor "+n)
			}
		}
	}
	if o.Listen.Kind == tunnel.Unix || o.Listen.Kind == tunnel.TCP || o.Listen.Kind == tunnel.TLS {
		if !strings.HasSuffix(o.Listen.At, ":0") {
			all = append(all, "what it listens at, "+o.Listen.At+",")
		}
	}
	return all
}
