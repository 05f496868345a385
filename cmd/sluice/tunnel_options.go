package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/virt-sluice/sluice/proxy/tunnel"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// tunnelOptions are the flags of sluice tunnel.
type tunnelOptions struct {
	listen, to    string
	ca, cert, key string
	name          string
	allow         []string
	priority      string
	path          string
	workers       int
}

func (o *tunnelOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.listen, "listen", "", "`URI` to accept connections at")
	f.StringVar(&o.to, "to", "", "`URI` to connect to")
	f.StringVar(&o.ca, "ca", "", "`FILE` of the authorities whose certificates are good")
	f.StringVar(&o.cert, "cert", "", "`FILE` of this host's certificate")
	f.StringVar(&o.key, "key", "", "`FILE` of its key")
	f.StringVar(&o.name, "tls-name", "", "`NAME` that the server must have in its certificate (default: HOST of --to)")
	f.StringArrayVar(&o.allow, "allow", nil, "`NAME` of a client that is let in; may be given again")
	f.StringVar(&o.priority, "priority", "", "GnuTLS priority `STRING`; see sluice priority (default: this host's)")
	f.StringVar(&o.path, "path", "auto", "`HOW` TLS is done: auto, ktls, records or crypto/tls")
	f.IntVar(&o.workers, "workers", 0, "`HOW MANY` cores encrypt for one direction of a connection (default: by the machine)")
}

// withTLS are the flags that say something of TLS.
var withTLS = []string{"ca", "cert", "key", "priority", "path", "workers"}

// maxWorkers is beyond what the records of one batch can employ.
const maxWorkers = 64

// parse checks what can be checked without looking at files.
func (o *tunnelOptions) parse(f *pflag.FlagSet) (t tunnel.Options, err error) {
	if o.listen == "" || o.to == "" {
		return t, errors.New("both --listen URI and --to URI are needed")
	}
	if t.Listen, err = tunnel.ParseAddress(o.listen); err != nil {
		return t, fmt.Errorf("--listen: %w", err)
	}
	if t.To, err = tunnel.ParseAddress(o.to); err == nil {
		err = t.To.Connects()
	}
	if err != nil {
		return t, fmt.Errorf("--to: %w", err)
	}
	server, client := t.Listen.Kind == tunnel.TLS, t.To.Kind == tunnel.TLS
	for _, name := range withTLS {
		if f.Changed(name) && !server && !client {
			return t, fmt.Errorf("--%s is about TLS, and neither URI has tls: before its address", name)
		}
	}
	if f.Changed("tls-name") && !client {
		return t, errors.New("--tls-name is about the server, and --to is without TLS")
	}
	if f.Changed("allow") && !server {
		return t, errors.New("--allow is about clients' certificates, and --listen is without TLS")
	}
	if server && len(o.allow) == 0 {
		return t, errors.New("nobody would be let in: add --allow NAME for each client; '*' lets in whoever has a certificate of the authority")
	}
	if some := o.ca + o.cert + o.key; some != "" && (o.ca == "" || o.cert == "" || o.key == "") {
		return t, errors.New("--ca, --cert and --key go together: name all three, or none and let the host's own be looked for")
	}
	if t.Allow, err = tlsconf.ParseRules(o.allow); err != nil {
		return t, fmt.Errorf("--allow: %w", err)
	}
	if client {
		if !f.Changed("tls-name") {
			o.name = t.To.Host()
		}
		if t.Names, err = tlsconf.ParseRules([]string{o.name}); err != nil {
			return t, fmt.Errorf("--tls-name: %w", err)
		}
	}
	if t.Path, err = parsePath(o.path); err != nil {
		return t, err
	}
	if t.Workers = o.workers; o.workers < 0 || o.workers > maxWorkers {
		return t, fmt.Errorf("--workers takes a number from 1 to %d, or 0 to go by the machine, not %d", maxWorkers, o.workers)
	}
	if server || client {
		if t.Policy, err = o.policy(); err != nil {
			return t, fmt.Errorf("--priority: %w", err)
		}
	}
	return t, t.Check()
}

func parsePath(text string) (relay.Path, error) {
	switch p := relay.Path(text); p {
	case "auto":
		return relay.Auto, nil
	case relay.Records, relay.CryptoTLS:
		return p, nil
	case "ktls":
		return "", errors.New("--path ktls: this version of sluice has no kernel TLS; auto takes the fastest path that there is")
	}
	return "", fmt.Errorf("--path takes auto, ktls, records or crypto/tls, not %q", text)
}

func (o *tunnelOptions) policy() (*tlsconf.Policy, error) {
	sys, err := tlsconf.LoadSystem(tlsconf.SystemFile(os.Getenv, ""))
	if err != nil {
		return nil, err
	}
	if o.priority == "" {
		return tlsconf.ParsePriority(sys.DefaultPriority(), sys)
	}
	return tlsconf.ParsePriority(o.priority, sys)
}
