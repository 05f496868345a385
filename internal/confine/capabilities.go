package confine

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/virt-sluice/sluice/internal/acl"
	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// Need is a capability that the daemon uses, with what for.
type Need struct {
	Capability cap.Value
	For        string
}

// Needed are the capabilities that a configuration makes the daemon need.
func Needed(cfg *config.Config) []Need {
	var needs []Need
	if uid, _, err := cfg.QEMU(); err == nil && uid != os.Geteuid() {
		needs = append(needs, Need{cap.KILL, "stopping a guest's QEMU while its destination takes it over"})
	}
	if cfg.Intercept != nil {
		needs = append(needs, Need{cap.NET_ADMIN, "reading the kernel's table of interception"})
	}
	if lowPort(cfg) {
		needs = append(needs, Need{cap.NET_BIND_SERVICE, "listening at a port below " + strconv.Itoa(firstPort())})
	}
	if !acl.Supported(cfg.RunDir) {
		const why = "giving sockets to QEMU's user, where the file system of run_dir has no access control lists"
		needs = append(needs, Need{cap.CHOWN, why}, Need{cap.DAC_OVERRIDE, why})
	}
	return needs
}

// lowPort says whether the daemon listens where that takes a capability.
func lowPort(cfg *config.Config) bool {
	at := []string{cfg.Listen, cfg.Metrics, cfg.Web.Listen}
	for _, t := range cfg.Tunnels {
		if a, err := spec.ParseAddress(t.Listen); err == nil && (a.Kind == spec.TCP || a.Kind == spec.TLS) {
			at = append(at, a.At)
		}
	}
	return slices.ContainsFunc(at, func(address string) bool {
		_, port, err := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		return err == nil && n > 0 && n < firstPort()
	})
}

// firstPort is the first at which anyone may listen (ip(7), ip_unprivileged_port_start).
func firstPort() int {
	raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if n, convErr := strconv.Atoi(string(bytes.TrimSpace(raw))); err == nil && convErr == nil {
		return n
	}
	return 1024
}

// Capabilities gives up all that this process has but those to keep, for good, and for what it
// executes. Spare ones have no effect, and can still be kept by a later call. It returns those that
// it has afterwards, and an error if those are more.
func Capabilities(keep, spare []cap.Value) (has []cap.Value, err error) {
	now, next := cap.GetProc(), cap.NewSet()
	for _, v := range slices.Concat(keep, spare) {
		if may, _ := now.GetFlag(cap.Permitted, v); !may {
			continue
		}
		if err := next.SetFlag(cap.Permitted, true, v); err != nil {
			return Held(), err
		}
		if err := next.SetFlag(cap.Effective, slices.Contains(keep, v), v); err != nil {
			return Held(), err
		}
	}
	if may, _ := now.GetFlag(cap.Effective, cap.SETPCAP); may {
		var drop []cap.Value
		for v := cap.Value(0); v < cap.MaxBits(); v++ {
			if !slices.Contains(keep, v) && !slices.Contains(spare, v) {
				drop = append(drop, v)
			}
		}
		if err := cap.DropBound(drop...); err != nil { // before SETPCAP goes
			return Held(), fmt.Errorf("narrow the bounding set of capabilities: %w", err)
		}
	}
	if differs, err := now.Cf(next); err != nil || differs != 0 {
		if err := next.SetProc(); err != nil {
			return Held(), fmt.Errorf("give up capabilities: %w", err)
		}
	}
	return Held(), nil
}

// Held are the capabilities that this process may use.
func Held() (held []cap.Value) {
	now := cap.GetProc()
	for v := cap.Value(0); v < cap.MaxBits(); v++ {
		if may, err := now.GetFlag(cap.Permitted, v); err == nil && may {
			held = append(held, v)
		}
	}
	return held
}
