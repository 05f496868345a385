package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// configurationWarnings say how the configuration's files differ from what is in use, if they do.
func configurationWarnings(c *control.ConfigurationStatus, now time.Time) (all []string) {
	switch {
	case !c.Differs:
	case c.Refused != nil:
		for text := range strings.Lines(c.Refused.Error) {
			all = append(all, oneLine(text))
		}
		all[0] = fmt.Sprintf("reload failed %s ago: %s", coarse(now.Sub(c.Refused.At)), all[0])
	default:
		all = append(all, fmt.Sprintf("the configuration has changed since it was loaded %s ago: systemctl reload sluice takes it over", coarse(now.Sub(c.Loaded))))
	}
	if len(c.Restart) > 0 {
		all = append(all, fmt.Sprintf("the configuration has other values than those in use, which take a restart: %s", oneLine(strings.Join(c.Restart, ", "))))
	}
	return all
}
