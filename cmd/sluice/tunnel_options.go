package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/tunnel"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/stream/ktls"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// tunnelOptions are the flags of sluice tunnel.
type tunnelOptions struct {
	config.Tunnel
	config  string
	path    string
	workers int
}

func (o *tunnelOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.Listen, "listen", "", "`URI` to accept connections at")
	f.StringVar(&o.To, "to", "", "`URI` to connect to")
	f.StringVar(&o.TLS, "tls", "", "`yes|no`: whether the side that is TCP has TLS (default: this host's)")
	f.StringVar(&o.config, "config", defaultConfig, "the daemon's configuration `FILE`, for this host's defaults")
	f.StringVar(&o.Certificates.CA, "ca", "", "`FILE` of the authorities that are trusted")
	f.StringVar(&o.Certificates.Cert, "cert", "", "`FILE` of this host's certificate")
	f.StringVar(&o.Certificates.Key, "key", "", "`FILE` of its key")
	f.StringVar(&o.Certificates.SPIFFE, "spiffe", "", "`ADDRESS` of a SPIFFE Workload API, instead of files (unix:///run/spire/agent/api.sock)")
	f.StringVar(&o.TLSName, "tls-name", "", "`NAME` that the server must have in its certificate (default: HOST of --to)")
	f.StringArrayVar(&o.Allow, "allow", nil, "`NAME` of a client to let in; may be repeated")
	f.StringVar(&o.Priority, "priority", "", "GnuTLS priority `STRING`; see sluice priority (default: this host's)")
	f.StringVar(&o.StartTLS, "starttls", "", "`PROTOCOL` in which the peer asks for TLS first: nbd")
	f.StringVar(&o.CloseNotify, "close-notify", config.CloseNotifyRequired, "`required|optional`: whether a stream without it is complete")
	f.StringVar(&o.User, "socket-user", "", "`USER` who may connect to --listen unix:PATH (default: the one who runs this)")
	f.Int64Var(&o.Bandwidth, "bandwidth", 0, "`MiB/s` each way, for all connections together (default: no limit)")
	f.IntVar(&o.Connections, "connections", spec.DefaultConnections, "`NUMBER` of connections at once")
	f.DurationVar(&o.HandshakeTimeout, "handshake-timeout", spec.DefaultHandshake, "`TIME` to make and authenticate a connection on both sides")
	f.DurationVar(&o.IdleTimeout, "idle-timeout", 0, "end a connection after `TIME` without a byte (default: never)")
	f.StringVar(&o.path, "path", "auto", "`PATH` for the side with TLS: auto, ktls, records or crypto/tls")
	f.IntVar(&o.workers, "workers", 0, "`NUMBER` of cores that encrypt one direction of a connection (default: by the machine)")
	markUsual(f, "listen", "to", "tls", "tls-name", "allow", "ca", "cert", "key", "starttls", "bandwidth")
}

// withTLS are the flags that say something of TLS.
var withTLS = []string{"ca", "cert", "key", "spiffe", "priority", "starttls", "close-notify", "path", "workers"}

// maxWorkers is beyond what the records of one batch can employ.
const maxWorkers = 64

// parse checks what can be checked without looking at certificates.
func (o *tunnelOptions) parse(f *pflag.FlagSet, log zerolog.Logger) (t tunnel.Options, e spec.Effect, err error) {
	if o.Listen == "" || o.To == "" {
		return t, e, errors.New("both --listen URI and --to URI are required")
	}
	for _, name := range []string{"handshake-timeout", "idle-timeout", "connections", "bandwidth"} {
		if v := f.Lookup(name); v.Changed && v.Value.String()[0] == '-' {
			return t, e, fmt.Errorf("--%s is negative", name)
		}
	}
	host, err := o.host(f, log)
	if err != nil {
		return t, e, err
	}
	t.Spec, err = o.Spec(host)
	var bad *config.TunnelError
	if errors.As(err, &bad) && bad.Key != "" {
		err = fmt.Errorf("--%s: %w", tunnelFlags[bad.Key], bad.Err)
	}
	if err == nil {
		e, err = t.Effect()
	}
	if err == nil {
		err = o.about(f, e)
	}
	if err != nil {
		return t, e, o.hint(err)
	}
	if c := o.Certificates; c.CA+c.Cert+c.Key != "" && (c.CA == "" || c.Cert == "" || c.Key == "") {
		return t, e, errors.New("--ca, --cert and --key go together: name all three, or none to use the host's own")
	}
	if c := o.Certificates; c.SPIFFE != "" {
		if c.CA != "" {
			return t, e, errors.New("--spiffe replaces --ca, --cert and --key: use one or the other")
		}
		if err := config.CheckSPIFFE(c.SPIFFE); err != nil {
			return t, e, fmt.Errorf("--spiffe: %w", err)
		}
	}
	if t.Path, err = parsePath(o.path); err != nil {
		return t, e, err
	}
	if t.Workers = o.workers; o.workers < 0 || o.workers > maxWorkers {
		return t, e, fmt.Errorf("--workers takes a number from 1 to %d, or 0 to go by the machine, not %d", maxWorkers, o.workers)
	}
	if e.TLS() == spec.Yes {
		policy, err := o.policy()
		if err != nil {
			return t, e, fmt.Errorf("--priority: %w", err)
		}
		t.Policy = func() *tlsconf.Policy { return policy }
	}
	return t, e, nil
}

// tunnelFlags are the flags for keys of [[tunnel]] of other names.
var tunnelFlags = map[string]string{"listen": "listen", "to": "to", "tls_name": "tls-name", "allow": "allow", "close_notify": "close-notify", "user": "socket-user"}

// about finds flags that have nothing to be about.
func (o *tunnelOptions) about(f *pflag.FlagSet, e spec.Effect) error {
	for _, name := range withTLS {
		if f.Changed(name) && e.TLS() == spec.No {
			return fmt.Errorf("--%s is about TLS, but neither side has it: %s", name, e.Why)
		}
	}
	if f.Changed("tls-name") && !e.To {
		return errors.New("--tls-name is about the server, but --to has no TLS")
	}
	if f.Changed("allow") && !e.Listen {
		return errors.New("--allow is about clients' certificates, but --listen has no TLS")
	}
	return nil
}

// hint adds flags to what is wrong.
func (o *tunnelOptions) hint(err error) error {
	if errors.Is(err, spec.ErrNobody) {
		return fmt.Errorf("%w: add --allow NAME for each client; '*' allows everyone with a certificate of the authority", err)
	}
	return err
}

// host is what this host says of tunnels, by the daemon's configuration if there is one.
func (o *tunnelOptions) host(f *pflag.FlagSet, log zerolog.Logger) (spec.Host, error) {
	strict := spec.Host{TLS: spec.Yes, RequireSecure: true}
	if _, err := os.Stat(o.config); errors.Is(err, fs.ErrNotExist) && !f.Changed("config") {
		return strict, nil
	}
	cfg, err := config.Load(o.config)
	switch {
	case err == nil:
		return cfg.TunnelHost(), nil
	case f.Changed("config"):
		return strict, err
	}
	log.Warn().Err(err).Msg("this host's configuration cannot be read: assuming tls = \"yes\" and require_secure = true")
	return strict, nil
}

func parsePath(text string) (relay.Path, error) {
	switch p := relay.Path(text); p {
	case "auto":
		return relay.Auto, nil
	case relay.Records, relay.CryptoTLS:
		return p, nil
	case relay.KTLS:
		if err := ktls.Available(); err != nil {
			return "", fmt.Errorf("--path ktls: %w; auto takes the fastest path available", err)
		}
		return p, nil
	}
	return "", fmt.Errorf("--path takes auto, ktls, records or crypto/tls, not %q", text)
}

func (o *tunnelOptions) policy() (*tlsconf.Policy, error) {
	sys, err := tlsconf.LoadSystem(tlsconf.SystemFile(os.Getenv, ""))
	if err != nil {
		return nil, err
	}
	if o.Priority == "" {
		return tlsconf.ParsePriority(sys.DefaultPriority(), sys)
	}
	return tlsconf.ParsePriority(o.Priority, sys)
}
