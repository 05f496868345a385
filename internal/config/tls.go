package config

import (
	"slices"

	"github.com/virt-sluice/sluice/tlsconf"
)

// layouts of certificates in a folder.
var layouts = []string{tlsconf.LayoutLibvirt, tlsconf.LayoutQEMU, tlsconf.LayoutCloudStack, tlsconf.LayoutUser}

func (c *checker) tls(cfg *Config) {
	if cfg.RequireSecure == nil {
		secure := true
		cfg.RequireSecure = &secure
	}
	if cfg.TLSDefault == "" {
		cfg.TLSDefault = "yes"
	}
	c.yesNo("tls", cfg.TLSDefault, *cfg.RequireSecure)
}

// yesNo checks a setting of TLS, which may not ask for what require_secure
// forbids.
func (c *checker) yesNo(key, value string, requireSecure bool) {
	switch {
	case value != "yes" && value != "no":
		c.fault(key, `%q must be "yes" or "no"`, value)
	case value == "no" && requireSecure:
		c.fault(key, `"no" would send guests' memory in clear, which require_secure forbids (it is on unless set); drop this line, or set require_secure = false as well`)
	}
}

func (c *checker) certificates(k *Certificates) {
	files := 0
	for _, f := range []struct {
		key  string
		path *string
	}{{"ca", &k.CA}, {"cert", &k.Cert}, {"key", &k.Key}, {"crl", &k.CRL}, {"dir", &k.Dir}} {
		*f.path = c.path("certificates."+f.key, *f.path)
		if *f.path != "" && (f.key == "ca" || f.key == "cert" || f.key == "key") {
			files++
		}
	}
	if files > 0 && files < 3 {
		c.fault("certificates", "ca, cert and key go together: set all three, or none and let dir and layout find them")
	}
	if files > 0 && (k.Dir != "" || k.Layout != "") {
		c.fault("certificates", "either name the files (ca, cert, key) or a folder of them (dir, layout), not both")
	}
	if k.Layout != "" && !slices.Contains(layouts, k.Layout) {
		c.fault("certificates.layout", "%q must be one of %q", k.Layout, layouts)
	}
}
