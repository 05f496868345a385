package test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/stand"
)

// machineMiB is the memory of a machine.
const machineMiB = 64

// marker stands at the beginning of each page of a source's memory, so that any
// piece of it in clear has one.
const marker = "sluice: this page must not be seen on the way"

// machine is a QEMU without libvirt, whose guest is paused. Its memory is a
// file, which can be looked at.
type machine struct {
	*monitor
	program *stand.Program
	memory  string
}

// machine starts one. A source's memory is random but for the markers.
func (s *tunnelStand) machine(name string, source bool, args ...string) *machine {
	s.t.Helper()
	needs.Program(s.t, "qemu-system-x86_64")
	m := &machine{memory: s.Path(name + ".memory")}
	content := make([]byte, machineMiB<<20)
	if source {
		rand.Read(content)
		for at := 0; at < len(content); at += 4096 {
			copy(content[at:], marker)
		}
	}
	if err := os.WriteFile(m.memory, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	qmp := s.Path(name + ".qmp")
	m.program = s.Start("qemu-system-x86_64", append([]string{
		"-machine", "pc,accel=tcg,memory-backend=ram", "-m", fmt.Sprintf("%dM", machineMiB),
		"-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=%s,share=on", machineMiB, m.memory),
		"-nodefaults", "-display", "none", "-S", "-qmp", "unix:" + qmp + ",server=on,wait=off",
	}, args...)...)
	m.monitor = s.monitor("unix", qmp)
	// As libvirt does: the source is done only when the destination says so.
	m.do("migrate-set-capabilities", map[string]any{"capabilities": []map[string]any{{"capability": "return-path", "state": true}}})
	return m
}

// monitor speaks QMP.
type monitor struct {
	t    *testing.T
	conn net.Conn
	in   *json.Decoder
}

// monitor connects to one, once it is there.
func (s *tunnelStand) monitor(network, at string) *monitor {
	s.t.Helper()
	return s.monitorOn(s.Dial(network, at))
}

// monitorOn takes a connection to one.
func (s *tunnelStand) monitorOn(c net.Conn) *monitor {
	s.t.Helper()
	m := &monitor{t: s.t, conn: c}
	m.conn.SetDeadline(time.Now().Add(stand.Patience))
	m.in = json.NewDecoder(m.conn)
	var greeting struct{ QMP json.RawMessage }
	if err := m.in.Decode(&greeting); err != nil || greeting.QMP == nil {
		s.t.Fatalf("no QMP greeting: %v", err)
	}
	m.do("qmp_capabilities", nil)
	return m
}

// do runs a command, which must not fail.
func (m *monitor) do(command string, arguments map[string]any) map[string]any {
	m.t.Helper()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		m.t.Fatalf("%s: %v", command, err)
	}
	for {
		var reply struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := m.in.Decode(&reply); err != nil {
			m.t.Fatalf("%s: %v", command, err)
		}
		if reply.Error != nil {
			m.t.Fatalf("%s: %s", command, reply.Error.Desc)
		}
		if reply.Return == nil {
			continue // an event
		}
		result := map[string]any{}
		json.Unmarshal(reply.Return, &result)
		return result
	}
}

// migrated waits for the end of the migration, and returns its state and QEMU's
// words, if it has some.
func (m *machine) migrated() (status, words string) {
	m.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		is := m.do("query-migrate", nil)
		status, _ = is["status"].(string)
		words, _ = is["error-desc"].(string)
		if status == "completed" || status == "failed" {
			return status, words
		}
	}
	m.t.Fatalf("the migration is %q after a minute", status)
	return "", ""
}

// same wants the machine's memory to be another's, which is no longer running,
// and to hold the markers; and the guest to run here.
func (m *machine) same(source *machine) {
	m.t.Helper()
	// The destination takes over a moment after the source is done.
	for end := time.Now().Add(time.Minute); m.do("query-status", nil)["status"] == "inmigrate"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatal("the destination waits for more")
		}
	}
	want, err := os.ReadFile(source.memory)
	if err != nil {
		m.t.Fatal(err)
	}
	got, err := os.ReadFile(m.memory)
	if err != nil {
		m.t.Fatal(err)
	}
	if n := bytes.Count(want, []byte(marker)); n < machineMiB<<20/4096*9/10 {
		m.t.Fatalf("the source's memory holds %d markers", n)
	}
	if !bytes.Equal(got, want) {
		for i := range want {
			if got[i] != want[i] {
				m.t.Fatalf("memory differs at %#x: %#02x, want %#02x", i, got[i], want[i])
			}
		}
	}
	m.do("cont", nil)
	if is := m.do("query-status", nil)["status"]; is != "running" {
		m.t.Errorf("the guest is %v", is)
	}
}

// stays wants the guest to be as it was, and able to run.
func (m *machine) stays() {
	m.t.Helper()
	content, err := os.ReadFile(m.memory)
	if err != nil || bytes.Count(content, []byte(marker)) < machineMiB<<20/4096*9/10 {
		m.t.Errorf("the source's memory is gone: %v", err)
	}
	m.do("cont", nil)
	if is := m.do("query-status", nil)["status"]; is != "running" {
		m.t.Errorf("the guest is %v", is)
	}
}

// creds are a machine's TLS credentials, from a host's folder.
func (s *tunnelStand) creds(host, endpoint, priority string) []string {
	return []string{"-object", s.credsObject(host, endpoint, priority)}
}

func (s *tunnelStand) credsObject(host, endpoint, priority string) string {
	return fmt.Sprintf("tls-creds-x509,id=tls0,dir=%s,endpoint=%s,verify-peer=yes,priority=%s", filepath.Join(s.Dir, host), endpoint, priority)
}
