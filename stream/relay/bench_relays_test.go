package relay

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The benchmarks run two relays as processes of their own, this binary, between
// a source and a sink in the test's process. What a relay costs is what the
// kernel charged its process with, user and system time.

// contender is a way to relay. Each round runs all, one after another, so that
// their ratios are of the same minute.
type contender struct {
	name string
	run  func(local, peer net.Conn, cfg *tls.Config, role string) error
}

var contenders = []contender{
	{"naive", naive},
	{"crypto/tls", onPath(CryptoTLS, Limits{})},
	{"records", onPath(Records, Limits{})},
	{"records-limited", onPath(Records, hundred)},
	{"splice", func(local, peer net.Conn, _ *tls.Config, _ string) error {
		return Run(context.Background(), local, Plain(peer), Options{}).Err
	}},
}

// hundred is a limit of all relays of a process, in MiB/s.
var hundred = Limits{Send: []*Limiter{NewLimiter(100 << 20)}}

func onPath(path Path, limits Limits) func(local, peer net.Conn, cfg *tls.Config, role string) error {
	return func(local, peer net.Conn, cfg *tls.Config, role string) error {
		side := TLS{Path: path}.Client
		if role == "server" {
			side = TLS{Path: path}.Server
		}
		c, err := side(context.Background(), peer, cfg)
		if err != nil {
			return err
		}
		return Run(context.Background(), local, c, Options{Limits: limits}).Err
	}
}

// naive is what everybody writes first.
func naive(local, peer net.Conn, cfg *tls.Config, role string) error {
	c := tls.Client(peer, cfg)
	if role == "server" {
		c = tls.Server(peer, cfg)
	}
	if err := c.Handshake(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(local, c); closeWrite(local) })
	io.Copy(c, local)
	c.CloseWrite()
	wg.Wait()
	return nil
}

// benchChild is a relay process: RELAY_BENCH is its contender, role, directory
// and number of channels.
func benchChild(spec string) error {
	f := strings.Fields(spec)
	name, role, dir := f[0], f[1], f[2]
	n := 0
	fmt.Sscan(f[3], &n)
	i := slices.IndexFunc(contenders, func(c contender) bool { return c.name == name })
	cfg := mutualTLS(tls.VersionTLS13)
	var err error
	if cfg.Certificates[0], err = tls.LoadX509KeyPair(filepath.Join(dir, "cert"), filepath.Join(dir, "key")); err != nil {
		return err
	}
	cfg.InsecureSkipVerify, cfg.ClientAuth = true, tls.RequireAnyClientCert
	var l net.Listener
	if role == "server" {
		lc := net.ListenConfig{Control: reno}
		if l, err = lc.Listen(context.Background(), "tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		fmt.Println(l.Addr())
	}
	errs := make(chan error)
	for range n {
		local, err := net.Dial("unix", filepath.Join(dir, role))
		if err != nil {
			return err
		}
		var peer net.Conn
		if l != nil {
			peer, err = l.Accept()
		} else {
			d := net.Dialer{Control: reno}
			peer, err = d.Dial("tcp", f[4])
		}
		if err != nil {
			return err
		}
		go func() { errs <- contenders[i].run(local, peer, cfg, role) }()
	}
	for range n {
		if e := <-errs; e != nil {
			err = e
		}
	}
	// The peak of this process alone; getrusage counts the one before exec, too.
	status, _ := os.ReadFile("/proc/self/status")
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println(strings.Fields(peak)[0])
	return err
}

// reno: BBR, which some machines have for their default, paces loopback.
func reno(_, _ string, rc syscall.RawConn) error {
	return rc.Control(func(fd uintptr) {
		unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	})
}

// pair of relay processes with n channels through them.
type relayPair struct {
	source, sink []net.Conn
	procs        [2]*exec.Cmd
	outs         [2]io.Reader
}

func startPair(b *testing.B, name string, n int) *relayPair {
	b.Helper()
	dir := b.TempDir()
	writeCertificate(b, dir)
	p := new(relayPair)
	var ls [2]net.Listener
	for i, role := range []string{"client", "server"} {
		l, err := net.Listen("unix", filepath.Join(dir, role))
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		ls[i] = l
	}
	addr := ""
	for _, i := range []int{1, 0} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("RELAY_BENCH=%s %s %s %d %s", name, [...]string{"client", "server"}[i], dir, n, addr))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		p.procs[i], p.outs[i] = cmd, out
		if i == 1 {
			fmt.Fscan(out, &addr)
		}
	}
	accept := func(l net.Listener) (cs []net.Conn) {
		for range n {
			c, err := l.Accept()
			if err != nil {
				b.Fatal(err)
			}
			cs = append(cs, c)
		}
		return cs
	}
	p.source, p.sink = accept(ls[0]), accept(ls[1])
	return p
}

// cost ends the processes and returns the CPU time of each, and the larger peak of memory.
func (p *relayPair) cost(b *testing.B) (cpu [2]time.Duration, rss int64) {
	b.Helper()
	for i, cmd := range p.procs {
		var peak int64
		fmt.Fscan(p.outs[i], &peak)
		rss = max(rss, peak<<10)
		if err := cmd.Wait(); err != nil {
			b.Fatal(cmd.Env[len(cmd.Env)-1], err)
		}
		s := cmd.ProcessState
		cpu[i] = s.UserTime() + s.SystemTime()
	}
	return cpu, rss
}

func writeCertificate(b *testing.B, dir string) {
	b.Helper()
	cert, key := certificatePEM()
	if err := os.WriteFile(filepath.Join(dir, "cert"), cert, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), key, 0o600); err != nil {
		b.Fatal(err)
	}
}

// chosen are the contenders that RELAY_BENCH_ONLY names, or all.
func chosen() (cs []contender) {
	only := os.Getenv("RELAY_BENCH_ONLY")
	for _, c := range contenders {
		if only == "" || slices.Contains(strings.Split(only, ","), c.name) {
			cs = append(cs, c)
		}
	}
	return cs
}
