package main

import (
	"fmt"
	"strings"
	"time"
)

// timeout is when a client that has one loses its patience, in seconds: the guest moves within another
// four or five.
const timeout = 10

// The goal that sluice is given.
const (
	maxDowntime = 300 * time.Millisecond // QEMU's own
	deadline    = 15 * time.Second
)

// way is how a guest is moved.
type way struct {
	name string
	args []string // of virsh migrate
	// allow is what `sluice migrate --auto` may do to the guest. Empty: it is virsh that moves it.
	allow string
}

// Names of ways that something is said of.
const (
	byDefault = "default"
	bySuspend = "suspend"
)

var ways = []way{
	{name: byDefault},
	{name: bySuspend, args: timeouts("--timeout-suspend")},
	{name: "auto-converge", args: []string{"--auto-converge"}},
	{name: "postcopy", args: append(timeouts("--timeout-postcopy"), "--postcopy")},
	{name: "sluice", allow: "none"},
	{name: "sluice-slow", allow: "slow"},
	{name: "sluice-postcopy", allow: "postcopy"},
	{name: "sluice-pause", allow: "pause"},
	{name: best, allow: "slow,postcopy,pause"},
}

func timeouts(then string) []string { return []string{"--timeout", fmt.Sprint(timeout), then} }

// virsh is the command at the source that moves a guest.
func (w way) virsh(guest string) []string {
	uri := "qemu+unix:///system?socket=/run/sluice/peers/host-b/libvirt.sock"
	args := append([]string{"--quiet", "--connect", "qemu:///system", "migrate", "--live", "--p2p"}, w.args...)
	return append(args, guest, uri)
}

// sluice are the arguments of sluice migrate, after the guest and the host.
func (w way) sluice() []string {
	return []string{"--auto", "--max-downtime", maxDowntime.String(), "--deadline", deadline.String(), "--allow", w.allow}
}

// fixed says whether a way has nobody who decides while it lasts.
func fixed(way string) bool { return !strings.HasPrefix(way, "sluice") }
