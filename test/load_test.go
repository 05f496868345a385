package test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/stand"
)

// What a daemon holds, in KiB of its own memory (RssAnon), as docs/performance.md has it.
const (
	heldAtRest     = 8 << 10
	heldPerSession = 80
	heldPerChannel = 100
	heldForBuffers = 64 << 10 // with one peer
)

// 200 sessions of four channels at once, under one limit: all of them complete, none has more than
// twice what another has, and neither end holds more than it should. Real sessions between two
// processes; this one stands for all QEMUs.
func TestLoad(t *testing.T) {
	t.Parallel()
	dir := stand.Folder(t)
	if err := loadCertificates(dir); err != nil {
		t.Fatal(err)
	}
	listen := func(name string) net.Listener {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	from, to := listen("from.sock"), listen("to.sock")
	acceptor := startLoad(t, "accept", dir)
	opener := startLoad(t, acceptor.line(t), dir)

	const all = loadSessions * loadChannels
	begin := make(chan struct{})
	ended := make(chan int, all) // sessions, by channel
	var carried [loadSessions]atomic.Int64
	for range all {
		in, out := acceptLoad(t, from), acceptLoad(t, to)
		go func() {
			session := make([]byte, 4)
			io.ReadFull(in, session)
			<-begin
			in.Write(session)
			in.Write(make([]byte, loadBytes))
			in.CloseWrite()
			io.Copy(io.Discard, in)
			in.Close()
		}()
		go func() {
			session := make([]byte, 4)
			io.ReadFull(out, session)
			i := binary.BigEndian.Uint32(session) % loadSessions
			for b := make([]byte, 64<<10); ; {
				n, err := out.Read(b)
				carried[i].Add(int64(n))
				if err != nil {
					break
				}
			}
			out.Close()
			ended <- int(i)
		}()
	}
	idle := max(acceptor.resident(t), opener.resident(t))
	close(begin)

	start, look := time.Now(), time.NewTicker(100*time.Millisecond)
	defer look.Stop()
	var left [loadSessions]int
	peak, first := 0, true
	for n := 0; n < all; {
		select {
		case i := <-ended:
			n++
			if left[i]++; left[i] == loadChannels && first {
				first = false
				least, most := int64(loadBytes*loadChannels), int64(0)
				for j := range carried {
					least, most = min(least, carried[j].Load()), max(most, carried[j].Load())
				}
				t.Logf("after %v, when the first session is done, the others have from %d to %d bytes", time.Since(start), least, most)
				if most > 2*least {
					t.Errorf("one session has %d bytes, and another %d", most, least)
				}
			}
		case <-look.C:
			peak = max(peak, acceptor.resident(t), opener.resident(t))
		case <-time.After(stand.Patience):
			t.Fatalf("%d of %d channels have ended, and no other does", n, all)
		}
	}
	took := time.Since(start)
	for i := range carried {
		if n := carried[i].Load(); n != loadBytes*loadChannels {
			t.Errorf("session %d has carried %d bytes, want %d", i, n, loadBytes*loadChannels)
		}
	}
	if said := opener.line(t); said != "done" {
		t.Errorf("the opener says %q", said)
	}
	t.Logf("%.1f MiB/s; %d KiB idle, %d KiB at the most", float64(all*loadBytes)/took.Seconds()/(1<<20), idle, peak)
	const held = heldAtRest + loadSessions*heldPerSession + all*heldPerChannel
	if idle > held {
		t.Errorf("%d KiB are held by idle channels, where %d are the most", idle, held)
	}
	if peak > held+heldForBuffers {
		t.Errorf("%d KiB are held, where %d are the most", peak, held+heldForBuffers)
	}
}

func acceptLoad(t *testing.T, l net.Listener) *net.UnixConn {
	t.Helper()
	l.(*net.UnixListener).SetDeadline(time.Now().Add(stand.Patience))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// loadProcess is a host of TestLoad's.
type loadProcess struct {
	*exec.Cmd
	out *bufio.Reader
}

func startLoad(t *testing.T, role, dir string) *loadProcess {
	t.Helper()
	p := &loadProcess{Cmd: exec.Command("/proc/self/exe")}
	p.Env = append(os.Environ(), loadHost+"="+role, loadDir+"="+dir)
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	in, err := p.StdinPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// line is the next one that it prints.
func (p *loadProcess) line(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func (p *loadProcess) resident(t *testing.T) int {
	t.Helper()
	kib, err := resident(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
