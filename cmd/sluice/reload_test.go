package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// served is a daemon that runs, and its folder.
type served struct {
	t   *testing.T
	dir string
}

// serveHost starts the daemon of a host of the stand, whose handshakes have time on a busy machine.
func serveHost(t *testing.T, s *stand.Stand, name, tables string) *served {
	t.Helper()
	d := &served{t, s.Path("of-" + name)}
	if err := os.MkdirAll(filepath.Join(d.dir, "conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := configure(t, s, name, d.dir, tables+"[limits]\nhandshake_timeout = '1m'\n")
	s.Start(s.Sluice, "serve", "--config", config).Await(`"ready"`)
	return d
}

// sluice runs a command against the daemon, and wants one exit status.
func (d *served) sluice(want int, args ...string) (out, errs string) {
	d.t.Helper()
	c := exec.Command("sluice", append(args, "--socket", filepath.Join(d.dir, "run/control.sock"))...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if c.ProcessState == nil || c.ProcessState.ExitCode() != want {
		d.t.Fatalf("sluice %v: %v, want exit status %d\n%s%s", args, err, want, &stdout, &stderr)
	}
	return stdout.String(), stderr.String()
}

func (d *served) status() (st control.Status) {
	d.t.Helper()
	out, _ := d.sluice(0, "status", "--json")
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		d.t.Fatal(err)
	}
	return st
}

// put writes a file of conf.d.
func (d *served) put(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, "conf.d", name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *served) remove(name string) {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.dir, "conf.d", name)); err != nil {
		d.t.Fatal(err)
	}
}

// answerOf is what comes of asking a peer, which lets this host in or does not.
func (d *served) answerOf(peer string) control.Finding {
	d.t.Helper()
	out, _ := d.sluice(1, "check", "--json", "--peer", peer) // there is no libvirt
	var r control.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		d.t.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Peer == peer && f.Check == "answer" {
			return f
		}
	}
	d.t.Fatalf("%s was not asked:\n%s", peer, out)
	return control.Finding{}
}

// A file adds a peer, and its removal removes it, once `sluice reload` says so. One that is not good
// leaves all as it was.
func TestReload(t *testing.T) {
	t.Parallel()
	s := stand.New(t, "sluice")
	b := serveHost(t, s, "host-b", "")
	a := serveHost(t, s, "host-a", fmt.Sprintf("[peers.host-b]\naddress = '%s'\n", b.status().Listen))
	letIn := func(when string, want bool) {
		t.Helper()
		f := a.answerOf("host-b")
		if want && f.Result != control.ResultOK || !want && !strings.Contains(f.Text, "no peer configured on host-b has its name") {
			t.Errorf("%s: %+v", when, f)
		}
	}
	configuration := func(when string, differs bool, refused string) {
		t.Helper()
		switch c := b.status().Configuration; {
		case c.Differs != differs, (c.Refused != nil) != (refused != ""):
			t.Errorf("%s: %+v", when, c)
		case c.Refused != nil && !strings.Contains(c.Refused.Error, refused):
			t.Errorf("%s: it says %q, without %q", when, c.Refused.Error, refused)
		}
	}
	says := func(got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("it says\n%swithout %q", got, want)
		}
	}
	letIn("before there is a file", false)

	b.put("host-a.toml", "[peers.host-a]\naddress = '127.0.0.1:1'\n")
	letIn("before it was read", false)
	configuration("before it was read", true, "")
	out, _ := b.sluice(0, "reload")
	says(out, "peers added: host-a")
	letIn("once it was read", true)
	configuration("once it was read", false, "")

	b.remove("host-a.toml")
	b.put("bad.toml", "[limits]\nsesions = 3\n")
	_, errs := b.sluice(1, "reload")
	says(errs, "conf.d/bad.toml")
	says(errs, "sesions")
	letIn("after a reload that failed", true)
	configuration("after a reload that failed", true, "sesions")

	b.remove("bad.toml")
	configuration("once the file is gone", true, "")
	out, _ = b.sluice(0, "reload")
	says(out, "peers removed: host-a")
	letIn("once it was removed", false)
	configuration("once it was removed", false, "")
	if _, err := os.Lstat(filepath.Join(b.dir, "run/peers/host-a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder is still there: %v", err)
	}
}
