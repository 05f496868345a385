package spec

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Kind is what an address's connections are.
type Kind string

const (
	Unix Kind = "unix"
	TCP  Kind = "tcp"
	TLS  Kind = "tls"  // over TCP
	FD   Kind = "fd"   // a descriptor that this process was started with
	Exec Kind = "exec" // the standard input and output of a command
)

// Localhost is the one name that is this host's own.
const Localhost = "localhost"

// maxPath is the room for a path in a struct sockaddr_un, in bytes, less the NUL at its end.
const maxPath = 107

// Address is where a tunnel listens, or what it connects to.
type Address struct {
	Kind Kind
	At   string // a path, or HOST:PORT, as net.Listen and net.Dial take it; N or IN,OUT; a command
}

// ParseAddress reads unix:PATH, tcp:HOST:PORT, tls:HOST:PORT, fd:N, fd:IN,OUT or exec:COMMAND. To
// listen at, HOST may be empty, for every address of this host, and PORT 0, for one that the kernel
// chooses; an address to connect to has to pass Connects. Descriptors are not looked at.
func ParseAddress(text string) (Address, error) {
	kind, at, ok := strings.Cut(text, ":")
	a := Address{Kind(kind), at}
	var err error
	switch {
	case !ok || !slices.Contains([]Kind{Unix, TCP, TLS, FD, Exec}, a.Kind):
		err = fmt.Errorf("write unix:PATH, tcp:HOST:PORT, tls:HOST:PORT, fd:N or exec:COMMAND")
	case a.Kind == Unix:
		err = checkPath(at)
	case a.Kind == FD:
		_, _, err = parseFDs(at)
	case a.Kind == Exec:
		_, err = splitWords(at)
	case strings.HasPrefix(at, "//"):
		err = fmt.Errorf("write %s:%s, without //", kind, strings.TrimLeft(at, "/"))
	default:
		err = checkHostPort(at)
	}
	if err != nil {
		return Address{}, fmt.Errorf("%q: %w", text, err)
	}
	return a, nil
}

func checkPath(path string) error {
	switch {
	case path == "":
		return fmt.Errorf("a path is missing: write unix:PATH")
	case path[0] == '@':
		return fmt.Errorf("an abstract socket, which begins with @, is open to every user; write a path (./%s for a file of that name)", path)
	case strings.IndexByte(path, 0) >= 0:
		return fmt.Errorf("the path holds a NUL")
	case len(path) > maxPath:
		return fmt.Errorf("the path is %d bytes long, and a socket's path at most %d", len(path), maxPath)
	}
	return nil
}

func checkHostPort(at string) error {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return fmt.Errorf("write HOST:PORT; an IPv6 address goes in brackets, such as [2001:db8::1]:4433")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.Trim(host, hostName) != "" {
		return fmt.Errorf("%q is neither a host name nor an IP address", host)
	}
	return nil
}

const hostName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// Connects says what is wrong with a as an address to connect to, or nil.
func (a Address) Connects() error {
	host, port, _ := net.SplitHostPort(a.At)
	n, _ := strconv.Atoi(port)
	switch {
	case a.Kind == "":
		return fmt.Errorf("there is no address")
	case !a.overTCP():
		return nil
	case host == "":
		return fmt.Errorf("%q: a host to connect to is missing", a)
	case n == 0:
		return fmt.Errorf("%q: port 0 cannot be connected to", a)
	}
	return nil
}

// Host is the host's name or IP address; empty where there is none.
func (a Address) Host() string {
	if !a.overTCP() {
		return ""
	}
	host, _, _ := net.SplitHostPort(a.At)
	return host
}

func (a Address) String() string { return string(a.Kind) + ":" + a.At }

func (a Address) overTCP() bool { return a.Kind == TCP || a.Kind == TLS }

// Network is net's word for what carries the address's connections, where net has one.
func (a Address) Network() string {
	if a.overTCP() {
		return "tcp"
	}
	return string(a.Kind)
}

// Words are a command's: its program and arguments.
func (a Address) Words() ([]string, error) { return splitWords(a.At) }
