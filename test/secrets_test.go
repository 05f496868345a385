package test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// secrets are the forms in which a daemon's private key could show, by what they are.
func (d *daemon) secrets() map[string][]byte {
	d.s.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.s.dir, d.host.Name+"-key.pem"))
	d.s.check(err)
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	d.s.check(err)
	scalar, err := key.(*ecdsa.PrivateKey).Bytes()
	d.s.check(err)
	all := map[string][]byte{"a line of the PEM file": bytes.Split(text, []byte("\n"))[1]}
	for of, raw := range map[string][]byte{"the DER form": block.Bytes, "the key itself": scalar} {
		// A form that is cut short, or begins elsewhere, has the middle all the same.
		raw = raw[len(raw)/4 : len(raw)*3/4]
		all[of] = raw
		all[of+" in hex"] = []byte(hex.EncodeToString(raw))
		for shift := range 3 {
			code := base64.StdEncoding.EncodeToString(raw[shift:])
			all[of+" in base64, from byte "+string('0'+rune(shift))] = []byte(code[:len(code)-4])
		}
		all[of+" as Go prints bytes"] = []byte(strings.Trim(fmt.Sprint(raw), "[]"))
	}
	return all
}

// Neither keys nor guests' memory are in what a daemon says, at the finest level and as it crashes
// in the middle of a migration, and it leaves no core dump.
func TestNoSecretsTold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	keyLog := filepath.Join(s.dir, "tls-keys")
	a, b := s.both(conf{
		under: []string{"env", "GOTRACEBACK=crash", "SSLKEYLOGFILE=" + keyLog, "prlimit", "--core=unlimited"},
		more:  []string{"--log-level", "trace"},
		top:   "metrics = \"127.0.0.1:16515\"\n",
	})
	told := make(map[string][]byte)
	g := s.guest(lab.GuestSpec{})
	moved(a.migrate(g.Name), g, a, b)
	for _, d := range []*daemon{a, b} {
		for _, args := range [][]string{{"status", "--json"}, {"status"}, {"check", "--all-peers"}, {"check"}, {"migrate", "nobody", d.host.Peer().Name}} {
			out, errs, _ := s.run(d.host, s.command, args...)
			told["sluice "+strings.Join(args, " ")+" on "+d.host.Name] = []byte(out + errs)
		}
		out, _, _ := s.run(d.host, "curl", "-s", "http://127.0.0.1:16515/metrics")
		told["metrics of "+d.host.Name] = []byte(out)
	}

	s.check(s.SlowLink(4 << 20))
	b.migrate(g.Name).halfway()
	for d, sig := range map[*daemon]syscall.Signal{a: syscall.SIGQUIT, b: syscall.SIGABRT} {
		d.signal(sig)
		d.waitExit(20 * time.Second)
		if state := d.cmd.ProcessState.Sys().(syscall.WaitStatus); !state.Signaled() || state.CoreDump() {
			t.Errorf("%s ended by %v: signaled %t, core dump %t", d.host.Name, sig, state.Signaled(), state.CoreDump())
		}
		log := d.log()
		if !strings.Contains(log, "goroutine ") {
			t.Errorf("%s has left no traces of its goroutines", d.host.Name)
		}
		told["log of "+d.host.Name] = []byte(log)
		s.check(os.Truncate(d.logTo, 0)) // at the test's end a crash in it would be a fault
	}
	for where, text := range told {
		for _, d := range []*daemon{a, b} {
			for what, secret := range d.secrets() {
				if bytes.Contains(text, secret) {
					t.Errorf("%s has %s of %s", where, what, d.host.Name)
				}
			}
		}
		for _, pattern := range g.Patterns(64) {
			if bytes.Contains(text, pattern) || bytes.Contains(text, []byte(hex.EncodeToString(pattern))) {
				t.Errorf("%s has memory of the guest", where)
				break
			}
		}
		if bytes.Contains(text, []byte("TRAFFIC_SECRET")) || len(text) == 0 {
			t.Errorf("%s has %d bytes, TLS's secrets among them", where, len(text))
		}
	}
	if _, err := os.Stat(keyLog); err == nil {
		t.Error("TLS's secrets were written to SSLKEYLOGFILE")
	}
	s.check(s.SlowLink(0))
}
