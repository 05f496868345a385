package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"
	"time"
)

// settings are what a configuration takes besides the credentials. The zero value is usable.
type settings struct {
	NextProtos []string         // ALPN, most wanted first. A client refuses a server that chooses none of them; none means ALPN is not used
	MinVersion uint16           // if zero the policy's, or TLS 1.3 without one
	Policy     *Policy          // nil is Go's defaults; see gated
	Time       func() time.Time // time.Now if nil
}

// clientConfig makes the configuration for connecting to a peer that must have one of the names
// in expect. Which address is dialled has no part in it, and no server name is sent.
//
// A handshake fails with a *ChainError if the peer's certificate does not come
// from the CA or is out of date, with a *NameError if it is somebody else's, with a
// *ProtocolError if the peer does not speak one of NextProtos.
func (c *Credentials) clientConfig(expect Rules, opts settings) *tls.Config {
	cfg := c.config(c.client, opts)
	// Not insecure: VerifyConnection below does what crypto/tls would do, with the names
	// that are expected in place of the one that was dialled.
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := c.verify(cs, x509.ExtKeyUsageServerAuth, opts); err != nil {
			return err
		}
		id, err := IdentityOf(cs.PeerCertificates[0])
		if err != nil {
			return &NameError{Expected: expect, Err: err}
		}
		if _, ok := expect.Match(id); !ok {
			return &NameError{Got: id, Expected: expect}
		}
		if len(opts.NextProtos) > 0 && !slices.Contains(opts.NextProtos, cs.NegotiatedProtocol) {
			return &ProtocolError{Offered: opts.NextProtos}
		}
		return nil
	}
	return cfg
}

// serverConfig makes the configuration for peers that connect here. They must show a certificate
// from the CA. Whether its holder may come in is not looked at.
//
// Session tickets are off: libvirt's client takes a ticket for the byte with which
// libvirtd confirms the client's certificate, and gives up.
func (c *Credentials) serverConfig(opts settings) *tls.Config {
	cfg := c.config(c.server, opts)
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	c.untoldCAs(cfg)
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		return c.verify(cs, x509.ExtKeyUsageClientAuth, opts)
	}
	return cfg
}

// untoldCAs has clients verified by this host's CAs, and the request for their certificate name
// none. GnuTLS before 3.8.13 shows none with an RSA key to a TLS 1.3 server that names CAs and
// whose signature algorithms leave out PKCS #1 v1.5, as Go's do: so no stock client of libvirt's or
// QEMU's on Debian 12 and 13 could come in with one.
//
// crypto/tls takes both from one pool, the names when it writes the request, and what it verifies
// by when the certificate has come. It asks for the time just before that, and a server without
// session tickets for nothing else, so that is when the pool is filled. If it ever asks earlier,
// the CAs are named; if later, everybody is refused. (Verifying in VerifyConnection alone would do
// as well, but for the alert: unknown_ca and certificate_expired are only to be had in this way.)
func (c *Credentials) untoldCAs(cfg *tls.Config) {
	cfg.ClientCAs = x509.NewCertPool()
	var fill sync.Once
	clock := cfg.Time
	cfg.Time = func() time.Time {
		fill.Do(func() {
			for _, ca := range c.CAs {
				cfg.ClientCAs.AddCert(ca)
			}
		})
		return now(clock)
	}
}

func (c *Credentials) config(certs []tls.Certificate, opts settings) *tls.Config {
	cfg := &tls.Config{
		Certificates:           certs,
		MinVersion:             opts.MinVersion,
		NextProtos:             slices.Clone(opts.NextProtos),
		SessionTicketsDisabled: true,
		Time:                   opts.Time,
		// Small records first are for web pages; here they only cost.
		DynamicRecordSizingDisabled: true,
	}
	if opts.Policy != nil {
		opts.Policy.apply(cfg)
	} else if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS13
	}
	return cfg
}

func now(clock func() time.Time) time.Time {
	if clock != nil {
		return clock()
	}
	return time.Now()
}
