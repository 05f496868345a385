package needs

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// ports are those that Port has given.
var ports sync.Map

// Port is a TCP port that is free on loopback, for a program that has to be told one, and another
// at each call. It is below those that the kernel gives to sockets without one of their own
// (net.ipv4.ip_local_port_range), so that no such socket takes it meanwhile.
func Port(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 20000 + rand.IntN(10000)
		if _, given := ports.LoadOrStore(port, true); given {
			continue
		}
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
