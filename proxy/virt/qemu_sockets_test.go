package virt

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/needs"
)

// ofQEMU makes the test's program one that does as it is told with sockets, as QEMU's user.
const ofQEMU = "SLUICE_TEST_QEMU"

func TestMain(m *testing.M) {
	if os.Getenv(ofQEMU) == "" {
		os.Exit(m.Run())
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		do, network, address := "", "", ""
		fmt.Sscan(lines.Text(), &do, &network, &address)
		if do == "connect" {
			c, err := net.Dial(network, address)
			if err != nil {
				panic(err)
			}
			defer c.Close()
			fmt.Println(c.LocalAddr())
			continue
		}
		shared := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				if network == "tcp" {
					unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
				}
			})
		}}
		l, err := shared.Listen(context.Background(), network, address)
		if err != nil {
			panic(err)
		}
		defer l.Close()
		fmt.Println(l.Addr())
	}
}

const someUID = 4242

// guestsQEMU is a process of QEMU's user with a guest's -uuid.
type guestsQEMU struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Writer
	said *bufio.Reader
}

func startQEMU(t *testing.T) *guestsQEMU {
	t.Helper()
	q := &guestsQEMU{t: t, cmd: exec.Command("/proc/self/exe", "-uuid", FormatUUID(someUUID))}
	q.cmd.Env = []string{ofQEMU + "=1"}
	q.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someUID, Gid: someUID}}
	in, err := q.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := q.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	q.in, q.said = in, bufio.NewReader(out)
	if err := q.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); q.cmd.Wait() })
	return q
}

// does has the process listen or connect, and returns the address of its socket.
func (q *guestsQEMU) does(do, network, address string) string {
	q.t.Helper()
	fmt.Fprintln(q.in, do, network, address)
	at, err := q.said.ReadString('\n')
	if err != nil {
		q.t.Fatal(err)
	}
	return strings.TrimSpace(at)
}

// Two guests' QEMUs run as the same user. Only the one that has the pid by libvirt's word gets at
// what is the guest's, even if the other says that it is this guest's.
func TestAnotherGuestsQEMU(t *testing.T) {
	needs.Root(t, "for processes of another user")
	folder, sockets := t.TempDir(), t.TempDir()
	for d := sockets; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	ours, other := startQEMU(t), startQEMU(t)
	if err := os.WriteFile(filepath.Join(folder, "g.pid"), []byte(strconv.Itoa(ours.cmd.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	find := func() (*QEMUProcess, error) { return FindQEMU(folder, "g", someUUID, someUID) }
	p, err := find()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()

	// They listen, and this daemon connects.
	for name, q := range map[string]*guestsQEMU{"ours": ours, "other": other} {
		path := filepath.Join(sockets, name)
		q.does("listen", "unix", path)
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.HasEnd(c); (err == nil) != (q == ours) {
			t.Errorf("%s listens at a unix socket: %v", name, err)
		}
		c.Close()
	}
	at := ours.does("listen", "tcp", "127.0.0.1:0")
	if err := p.Listens(netip.MustParseAddrPort(at)); err != nil {
		t.Error(err)
	}
	other.does("listen", "tcp", at)
	hosttest.Says(t, p.Listens(netip.MustParseAddrPort(at)), "another process")
	hosttest.Says(t, p.Listens(netip.MustParseAddrPort(other.does("listen", "tcp", "127.0.0.1:0"))), "another process")

	// They connect, the other one first, and the daemon serves.
	for _, network := range []string{"unix", "tcp"} {
		address := map[string]string{"unix": filepath.Join(sockets, "served"), "tcp": "127.0.0.1:0"}[network]
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		if network == "unix" {
			if err := os.Chmod(address, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range []*guestsQEMU{other, ours} {
			q.does("connect", network, l.Addr().String())
		}
		var refusals []error
		joined := 0
		err = ServeQEMU(l, someUID, find, func(err error) { refusals = append(refusals, err) }, func(c net.Conn) error {
			joined++
			c.Close()
			return io.EOF // enough
		})
		l.Close()
		if err != nil || joined != 1 || len(refusals) != 1 {
			t.Errorf("%s: %d joined, refused %v, %v", network, joined, refusals, err)
			continue
		}
		hosttest.Says(t, refusals[0], "process")
	}

	// A guest that has gone has no QEMU, whoever has its pid by now.
	ours.cmd.Process.Kill()
	ours.cmd.Wait()
	if q, err := find(); err == nil {
		q.Close()
		t.Error("a QEMU that has ended was found")
	}
	if err := p.hasSocket("1"); err == nil {
		t.Error("it has sockets")
	}
}
