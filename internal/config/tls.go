package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/tlsconf"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// Search is where the files are looked for.
func (c Certificates) Search() tlsconf.Search {
	return tlsconf.Search{
		Files:  tlsconf.Files{CA: c.CA, Cert: c.Cert, Key: c.Key, CRL: c.CRL},
		Dir:    c.Dir,
		Layout: c.Layout,

		StaleCRL: c.StaleCRL == StaleAccept,
		Role:     c.role,
	}
}

func (c *checker) tls(cfg *Config) {
	if cfg.RequireSecure == nil {
		secure := true
		cfg.RequireSecure = &secure
	}
	if cfg.TLSDefault == "" {
		cfg.TLSDefault = "yes"
	}
	c.yesNo("tls", cfg.TLSDefault, *cfg.RequireSecure)
	c.dnList(cfg.AllowedDNs)
}

// yesNo checks a setting of TLS, which may not ask for what require_secure forbids.
func (c *checker) yesNo(key, value string, requireSecure bool) {
	switch {
	case value != "yes" && value != "no":
		c.fault(key, `%q must be "yes" or "no"`, value)
	case value == "no" && requireSecure:
		c.fault(key, `"no" would send guests' memory in clear, which require_secure forbids (it is on unless set); drop this line, or set require_secure = false as well`)
	}
}

// certificates checks those of the table key.
func (c *checker) certificates(key string, k *Certificates, doc *documentCertificates) {
	k.Reload = c.duration(key+".reload", doc.Reload, time.Minute, time.Second, true)
	c.spiffe(key, k)
	switch k.StaleCRL {
	case "", StaleRefuse, StaleAccept:
	default:
		c.fault(key+".stale_crl", "%q must be %q or %q", k.StaleCRL, StaleRefuse, StaleAccept)
	}
	files := 0
	for _, f := range []struct {
		key  string
		path *string
	}{{"ca", &k.CA}, {"cert", &k.Cert}, {"key", &k.Key}, {"crl", &k.CRL}, {"dir", &k.Dir}} {
		*f.path = c.path(key+"."+f.key, *f.path)
		if *f.path != "" && (f.key == "ca" || f.key == "cert" || f.key == "key") {
			files++
		}
	}
	if files > 0 && files < 3 {
		c.fault(key, "ca, cert and key go together: set all three, or none and let dir and layout find them")
	}
	if files > 0 && (k.Dir != "" || k.Layout != "") {
		c.fault(key, "either name the files (ca, cert, key) or a folder of them (dir, layout), not both")
	}
	if k.Layout != "" && !slices.Contains(layout.Names(), k.Layout) {
		c.fault(key+".layout", "%q must be one of %q", k.Layout, layout.Names())
	}
}

// spiffe checks the address of a Workload API (SPIFFE Workload Endpoint, section 4).
func (c *checker) spiffe(key string, k *Certificates) {
	if k.SPIFFE == "" {
		return
	}
	key += ".spiffe"
	if k.CA+k.Cert+k.Key+k.CRL+k.StaleCRL+k.Dir+k.Layout != "" {
		c.fault(key, "either a Workload API or files (ca, cert, key, crl, stale_crl, dir, layout), not both")
	}
	if err := CheckSPIFFE(k.SPIFFE); err != nil {
		c.fault(key, "%v", err)
	}
}

// CheckSPIFFE says what is wrong with the address of a Workload API, or nil.
func CheckSPIFFE(address string) error {
	u, err := url.Parse(address)
	if err == nil && u.Scheme == "unix" && u.Host == "" && path.IsAbs(u.Path) {
		return nil
	}
	if err == nil && u.Scheme == "tcp" && u.Path == "" {
		if _, err := netip.ParseAddrPort(u.Host); err == nil {
			return nil
		}
	}
	return fmt.Errorf(`%q must be "unix:///PATH" or "tcp://IP:PORT", as SPIFFE_ENDPOINT_SOCKET has it`, address)
}

// dnList checks libvirt's tls_allowed_dn_list, whose globs are about distinguished names alone.
func (c *checker) dnList(list []string) {
	for _, glob := range list {
		if glob == "*" {
			continue
		}
		if !strings.Contains(glob, "=") {
			c.fault("tls_allowed_dn_list", `%q has no "=", as every distinguished name has; write for example "C=GB,O=Example,CN=*" or "*,CN=host-b", or "*" for all`, glob)
			continue
		}
		if _, err := ParseDNList([]string{glob}); err != nil {
			c.fault("tls_allowed_dn_list", "%v", err)
		}
	}
}

// ParseDNList makes rules of a tls_allowed_dn_list.
func ParseDNList(list []string) (tlsconf.Rules, error) {
	rules := slices.Clone(list)
	for i, glob := range rules {
		if glob == "*" {
			rules[i] = "*=*" // tlsconf tells distinguished names by their "="
		}
	}
	return tlsconf.ParseRules(rules)
}
