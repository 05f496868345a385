package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Tunnel is one [[tunnel]]. The command sluice tunnel is one, too, by its flags.
type Tunnel struct {
	Name   string `toml:"name"`   // in messages, status and metrics; default: Listen
	Listen string `toml:"listen"` // as [spec.ParseAddress] reads it
	To     string `toml:"to"`

	TLS          string       `toml:"tls"`          // "yes", "no", or empty for the host's default
	TLSName      string       `toml:"tls_name"`     // a rule for the server's certificate; default: the host of To
	Allow        []string     `toml:"allow"`        // rules for clients' certificates
	Priority     string       `toml:"priority"`     // instead of the host's
	Certificates Certificates `toml:"certificates"` // instead of the host's
	StartTLS     string       `toml:"starttls"`     // "nbd", or empty for TLS from the first byte
	CloseNotify  string       `toml:"close_notify"` // "required" or "optional"; default "required"

	User string `toml:"user"` // may connect to the unix socket at Listen; default: the daemon's own alone

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
func (c *Config) TunnelHost() spec.Host {
	return spec.Host{TLS: c.TLSDefault, RequireSecure: c.Secure()}
}

// Spec is the tunnel on a host, checked. The error's *TunnelError names the key.
func (t *Tunnel) Spec(host spec.Host) (s spec.Spec, err error) {
	key := ""
	defer func() {
		if err != nil {
			err = &TunnelError{Key: key, Err: err}
		}
	}()
	s = spec.Spec{
		TLS: t.TLS, Host: host, StartTLS: t.StartTLS, LaxEnd: t.CloseNotify == CloseNotifyOptional,
		Limits: spec.Limits{Connections: t.Connections, Handshake: t.HandshakeTimeout, Idle: t.IdleTimeout, Bandwidth: t.Bandwidth << 20},
	}
	if key = "listen"; t.Listen == "" {
		return s, fmt.Errorf("is missing: write what to accept connections at, such as %q", "unix:/run/nbd.sock")
	}
	if s.Listen, err = spec.ParseAddress(t.Listen); err != nil {
		return s, err
	}
	if key = "to"; t.To == "" {
		return s, fmt.Errorf("is missing: write what to connect to, such as %q", "tls:host-b:10810")
	}
	if s.To, err = spec.ParseAddress(t.To); err == nil {
		err = s.To.Connects()
	}
	if err != nil {
		return s, err
	}
	if key = "tls_name"; t.TLSName != "" {
		if s.Names, err = tlsconf.ParseRules([]string{t.TLSName}); err != nil {
			return s, err
		}
	}
	key = "allow"
	if s.Allow, err = tlsconf.ParseRules(t.Allow); err != nil {
		return s, err
	}
	key = "close_notify"
	switch t.CloseNotify {
	case "", CloseNotifyRequired, CloseNotifyOptional:
	default:
		return s, fmt.Errorf("%q must be %q or %q", t.CloseNotify, CloseNotifyRequired, CloseNotifyOptional)
	}
	if key = "user"; t.User != "" {
		id, err := lookup(t.User)
		if err != nil {
			return s, err
		}
		uid := int(id.uid)
		s.SocketUser = &uid
	}
	key = ""
	return s, s.Check()
}

// TunnelRole is what a tunnel needs a certificate for.
func TunnelRole(e spec.Effect) tlsconf.Role {
	switch {
	case e.Listen && !e.To:
		return tlsconf.AsServer
	case e.To && !e.Listen:
		return tlsconf.AsClient
	}
	return tlsconf.BothRoles
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
		t.Connections = int(c.count(key+".connections", int64(t.Connections), spec.DefaultConnections, 1, maxTunnelConnections))
		t.Bandwidth = c.size(key+".bandwidth", t.Bandwidth, maxMiB)
		if s, err := t.Spec(cfg.TunnelHost()); err != nil {
			e := err.(*TunnelError)
			c.fault(strings.TrimSuffix(key+"."+e.Key, "."), "%v", e.Err)
		} else {
			for _, has := range claims(t.Name, s) {
				if other, ok := taken[has]; ok {
					c.fault(key, "%s is already that of tunnel %q", has, other)
				}
				taken[has] = t.Name
			}
		}
		cfg.Tunnels = append(cfg.Tunnels, t)
	}
}

// claims are what no other tunnel may have.
func claims(name string, s spec.Spec) []string {
	all := []string{fmt.Sprintf("its name, %q (set name),", name)}
	for _, a := range []spec.Address{s.Listen, s.To} {
		if a.Kind == spec.FD {
			for n := range strings.SplitSeq(a.At, ",") {
				all = append(all, "descriptor "+n)
			}
		}
	}
	if s.Listen.Kind == spec.Unix || s.Listen.Kind == spec.TCP || s.Listen.Kind == spec.TLS {
		if !strings.HasSuffix(s.Listen.At, ":0") {
			all = append(all, "what it listens at, "+s.Listen.At+",")
		}
	}
	return all
}
