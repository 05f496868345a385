package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// How guests may go to a peer that has no sluice, and come from it.
const (
	WithoutNo        = "no"
	WithoutNativeTLS = "native-tls" // by QEMU's own TLS at its side
	WithoutPlain     = "plain"      // in clear
)

// Schemes of LibvirtURI.
const (
	libvirtTLS = "qemu+tls"
	libvirtTCP = "qemu+tcp"
)

// libvirtTCPPort is libvirtd's port without TLS (tcp_port in libvirtd.conf).
const libvirtTCPPort = "16509"

// without checks and completes what holds while a peer has no sluice. Address is complete.
func (c *checker) without(key string, p *Peer) {
	switch p.WithoutSluice {
	case "":
		p.WithoutSluice = WithoutNo
	case WithoutNo, WithoutNativeTLS, WithoutPlain:
	default:
		c.fault(key+".without_sluice", "%q must be %q, %q or %q", p.WithoutSluice, WithoutNo, WithoutNativeTLS, WithoutPlain)
	}
	if p.LibvirtURI == "" {
		if host, _, err := net.SplitHostPort(p.Address); err == nil {
			p.LibvirtURI = (&url.URL{Scheme: libvirtTLS, Host: bracket(host), Path: "/system"}).String()
		}
		return
	}
	u, err := url.Parse(p.LibvirtURI)
	switch {
	case err != nil || u.Scheme != libvirtTLS && u.Scheme != libvirtTCP || u.Path != "/system" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		c.fault(key+".libvirt_uri", "%q must be such as \"qemu+tls://HOST/system\", with a port if it is not libvirt's own; nothing may follow: certificates and names are those of this host and of [%s]", p.LibvirtURI, key)
	case !validHost(u.Hostname()) || u.Port() != "" && !validPort(u.Port()):
		c.fault(key+".libvirt_uri", "%q has no host name or IP address, or a port that cannot be", p.LibvirtURI)
	case u.Scheme == libvirtTCP && p.WithoutSluice != WithoutPlain:
		c.fault(key+".libvirt_uri", "libvirt's own calls would go in clear, with a guest's description and its secrets: write qemu+tls://, or set without_sluice = %q", WithoutPlain)
	case u.Scheme == libvirtTCP && !isAddress(u.Hostname()):
		c.fault(key+".libvirt_uri", "%q goes to whichever host the name service says, and nobody there has to show a certificate: write its IP address in place of the name, or qemu+tls://", p.LibvirtURI)
	}
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// LibvirtAt is HOST and HOST:PORT of LibvirtURI, of a loaded configuration, and
// whether it is by TLS.
func (p Peer) LibvirtAt() (host, address string, tls bool) {
	u, err := url.Parse(p.LibvirtURI)
	if err != nil {
		return "", "", true
	}
	tls = u.Scheme != libvirtTCP
	port := u.Port()
	switch {
	case port != "":
	case tls:
		port = DefaultPort
	default:
		port = libvirtTCPPort
	}
	return u.Hostname(), net.JoinHostPort(u.Hostname(), port), tls
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
