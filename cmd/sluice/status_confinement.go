package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/virt-sluice/sluice/proxy/control"
)

// confinementSection says what the daemon may do to its host.
func confinementSection(c *control.Confinement, width int) section {
	if c == nil {
		return section{} // of an older daemon
	}
	landlock := fmt.Sprintf("on (version %d)", c.Landlock)
	if c.Landlock == 0 {
		landlock = "off: " + cmp.Or(c.LandlockError, "so says the configuration")
	}
	dumps := "off"
	if c.Dumps {
		dumps = "possible"
	}
	text := fmt.Sprintf("uid %d, %s; core dumps %s; Landlock %s", c.UID, cmp.Or(strings.Join(c.Capabilities, " "), "no capabilities"), dumps, landlock)
	return section{title: "Confinement", lines: indented(margin, text, width)}
}
