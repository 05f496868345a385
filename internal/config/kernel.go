package config

// What landlock may be.
const (
	LandlockAuto = "auto"
	LandlockOff  = "off"
)

func (c *checker) landlock(cfg *Config) {
	switch cfg.Landlock {
	case "":
		cfg.Landlock = LandlockAuto
	case LandlockAuto, LandlockOff:
	default:
		c.fault("landlock", `%q must be "auto" or "off"`, cfg.Landlock)
	}
}

// What a direction's setting of kernel TLS may be.
const (
	KernelAuto = "auto"
	KernelOff  = "off"
)

func (c *checker) kernelTLS(k *KernelTLS) {
	for _, d := range []struct {
		key   string
		value *string
	}{{"kernel_tls.send", &k.Send}, {"kernel_tls.receive", &k.Receive}} {
		switch *d.value {
		case "":
			*d.value = KernelAuto
		case KernelAuto, KernelOff:
		default:
			c.fault(d.key, `%q must be "auto" or "off"`, *d.value)
		}
	}
}
