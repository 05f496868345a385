package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// linkName is what the veth pair's end is called in each host.
const linkName = "eth0"

// bridgeName is the bridge in host A that joins three hosts.
const bridgeName = "lan"

// connect makes the link: a veth pair, or a bridge with one to each of three hosts.
func (l *Lab) connect(ctx context.Context) error {
	if l.C == nil {
		if err := l.A.pair(ctx, linkName, l.B); err != nil {
			return err
		}
	} else {
		batch := "link add " + bridgeName + " type bridge\nlink set " + bridgeName + " up\n"
		for _, h := range l.Hosts() {
			port := "to-" + h.Name
			if err := l.A.pair(ctx, port, h); err != nil {
				return err
			}
			batch += "link set " + port + " master " + bridgeName + "\nlink set " + port + " up\n"
		}
		if err := l.A.ip(ctx, batch); err != nil {
			return err
		}
	}
	for _, h := range l.Hosts() {
		batch := []string{
			"link set lo up",
			"addr add " + h.Addr + "/24 dev " + linkName,
			"link set " + linkName + " up",
		}
		if h.Addr6 != "" {
			// Without duplicate address detection the address serves at once.
			batch = append(batch, "addr add "+h.Addr6+"/64 dev "+linkName+" nodad")
		}
		if err := h.ip(ctx, strings.Join(batch, "\n")); err != nil {
			return err
		}
		if out, err := h.Command(ctx, "sh", "-c", "echo "+CongestionControl+" >/proc/sys/net/ipv4/tcp_congestion_control").CombinedOutput(); err != nil {
			return fmt.Errorf("set %s's congestion control: %w: %s", h.Name, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// pair makes a veth pair from this host to one, with each end where it belongs already, so that
// nothing of it ever shows on the machine.
func (h *Host) pair(ctx context.Context, name string, to *Host) error {
	netns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", to.pid))
	if err != nil {
		return err
	}
	defer netns.Close()
	c := h.Command(ctx, "ip", "link", "add", name, "type", "veth", "peer", "name", linkName, "netns", "/proc/self/fd/3")
	c.ExtraFiles = []*os.File{netns}
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("make the link from %s to %s: %w: %s", h.Name, to.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

// ip runs these commands of ip(8), one a line.
func (h *Host) ip(ctx context.Context, batch string) error {
	c := h.Command(ctx, "ip", "-batch", "-")
	c.Stdin = strings.NewReader(batch)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("set up %s's network: %w: %s", h.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

// CongestionControl is TCP's in the hosts: the one that every kernel has and lets any network
// namespace choose. Some machines have BBR as their default, whose pacing costs more processor time
// than a link in memory has to give: figures would say nothing of other machines.
const CongestionControl = "reno"

// Gigabit is what a link of 1 Gbit/s carries in bytes per second, without what Ethernet and TCP take
// of it.
const Gigabit = 112 << 20

// CutLink makes every packet between the hosts vanish, in both directions, until RestoreLink.
// Neither host is told: no error, no reset, no loss of carrier; it is what a cable pulled out
// somewhere between switches looks like. (An interface set down would take its routes and IPv6
// addresses with it, and the kernel would refuse to send.)
func (l *Lab) CutLink() error {
	l.linkMu.Lock()
	defer l.linkMu.Unlock()
	l.cut = true
	return l.shape()
}

// RestoreLink ends CutLink; a rate set by SlowLink holds on.
func (l *Lab) RestoreLink() error {
	l.linkMu.Lock()
	defer l.linkMu.Unlock()
	l.cut = false
	return l.shape()
}

// SlowLink bounds the link's rate in each direction to so many bytes per second; 0 lifts the bound.
func (l *Lab) SlowLink(bytesPerSecond int64) error {
	l.linkMu.Lock()
	defer l.linkMu.Unlock()
	l.rate = bytesPerSecond
	return l.shape()
}

// ResetConnections kills the TCP connections that have the given port at either end, on both hosts,
// the way an administrator or a failing middlebox would: each end gets an error at once. It needs
// ss -K, so a kernel with CONFIG_INET_DIAG_DESTROY.
func (l *Lab) ResetConnections(ctx context.Context, port int) error {
	for _, h := range l.Hosts() {
		out, err := h.Command(ctx, "ss", "-K", "-t", "state", "established", fmt.Sprintf("( sport = :%d or dport = :%d )", port, port)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("reset connections on %s: %w: %s", h.Name, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// shape sets the sending queue of both ends to what cut and rate say.
func (l *Lab) shape() error {
	args := []string{"qdisc", "replace", "dev", linkName, "root"}
	switch {
	case l.cut:
		args = append(args, "blackhole")
	case l.rate > 0:
		// The bucket holds a few of the 64 KiB packets that TCP hands to the device, or 10 ms of a
		// faster link's data. In tc, bps is bytes.
		burst := max(256<<10, l.rate/100)
		args = append(args, "tbf", "rate", fmt.Sprintf("%dbps", l.rate), "burst", fmt.Sprintf("%db", burst), "latency", "50ms")
	default:
		args = append(args, "noqueue")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, h := range l.Hosts() {
		if out, err := h.Command(ctx, "tc", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("tc %s on %s: %w: %s", strings.Join(args, " "), h.Name, err, bytes.TrimSpace(out))
		}
	}
	return nil
}
