package direct

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
)

// Where libvirt's QEMUs listen by default (migration_port_min, migration_port_max in qemu.conf),
// which sites have opened between hosts that migrate without sluice.
const firstMigrationPort, lastMigrationPort = 49152, 49215

// leastPort keeps a peer from having root listen where only root may.
const leastPort = 1024

// listen listens at a port, or at one of ownPorts if it is 0.
func (e *TLSEnd) listen(kind string, port int) error {
	host, _, err := net.SplitHostPort(e.host.Config.Listen)
	if err != nil {
		return err
	}
	first, last := ClosedPorts(e.host.Config.Intercept)
	from, to := port, port
	switch {
	case port == 0:
		from, to = ownPorts(first, last)
	case port < leastPort:
		return fmt.Errorf("port %d cannot be used for a migration, because it is below %d: leave it out of the URI", port, leastPort)
	case inRange(port, first, last):
		return fmt.Errorf("port %d is one of those that interception closes to other hosts (%d-%d): leave it out of the URI", port, first, last)
	}
	var l net.Listener
	err = errors.New("interception leaves no port free: make intercept.ports a smaller range")
	for port = to; port >= from; port-- { // libvirt goes up
		if l, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("listen for QEMU of %s: %w", e.peer.Name, err)
	}
	e.listeners = append(e.listeners, l)
	e.Ports[kind] = l.Addr().(*net.TCPAddr).Port
	e.accepts.Go(func() { e.serve(kind, l) })
	return nil
}

// ownPorts are libvirt's own. Where interception closes any of them they are as
// many right behind what it closes, or before if there are not as many behind.
func ownPorts(first, last int) (from, to int) {
	const many = lastMigrationPort - firstMigrationPort + 1
	switch {
	case last < firstMigrationPort || first > lastMigrationPort:
		return firstMigrationPort, lastMigrationPort
	case last+many <= math.MaxUint16:
		return last + 1, last + many
	}
	return max(first-many, leastPort), first - 1
}

// ClosedPorts are those that the kernel closes to other hosts, 0 for none: what
// its table says, or the configuration where it is not to be read.
func ClosedPorts(conf *config.Intercept) (first, last int) {
	table, err := rules.Read()
	switch {
	case err == nil:
		return int(table.First), int(table.Last)
	case errors.Is(err, rules.ErrOff), conf == nil:
		return 0, 0
	}
	from, to := conf.Range()
	return int(from), int(to)
}

func inRange(port, first, last int) bool { return port >= first && port <= last }
