package virt

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"
)

var someUUID = libvirt.UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// standIn is a process that looks like a guest's QEMU, and handles SIGTERM as that does.
func standIn(t *testing.T, uuid string) (c *exec.Cmd, folder string, ended <-chan struct{}) {
	t.Helper()
	c = exec.Command("sh", "-c", `trap "exit 3" TERM; echo; while :; do sleep 0.01; done`, "qemu", "-uuid", uuid)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_, err = out.Read(make([]byte, 1)) // its trap is set
	done := make(chan struct{})
	go func() {
		c.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		c.Process.Kill()
		<-done
	})
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "g.pid"), []byte(strconv.Itoa(c.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return c, folder, done
}

func TestQEMUProcess(t *testing.T) {
	c, folder, ended := standIn(t, FormatUUID(someUUID))
	p, err := FindQEMU(folder, "g", someUUID, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if stopped, err := p.Stopped(); stopped || err != nil {
		t.Fatalf("before Stop: %t, %v", stopped, err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if stopped, err := p.Stopped(); !stopped || err != nil {
		t.Fatalf("after Stop: %t, %v", stopped, err)
	}
	if p.Terminating() {
		t.Error("terminating before anybody has asked")
	}
	c.Process.Signal(unix.SIGTERM)
	if !p.Terminating() || p.Ended(0) {
		t.Errorf("after SIGTERM: terminating %t, ended %t", p.Terminating(), p.Ended(0))
	}
	// As after a restart of the daemon.
	again, err := ReopenQEMU(p.PID, p.Started, someUUID, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := ReopenQEMU(p.PID, p.Started+1, someUUID, os.Getuid()); !errors.Is(err, ErrQEMUEnded) {
		t.Errorf("another process of the same pid: %v", err)
	}
	if err := p.Continue(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if c.ProcessState.ExitCode() != 3 || !p.Ended(time.Second) {
		t.Errorf("%v, ended %t", c.ProcessState, p.Ended(0))
	}
	if err := p.Stop(); !errors.Is(err, ErrQEMUEnded) {
		t.Errorf("stop what has ended: %v", err)
	}
	if _, err := ReopenQEMU(p.PID, p.Started, someUUID, os.Getuid()); !errors.Is(err, ErrQEMUEnded) {
		t.Errorf("reopen what has ended: %v", err)
	}
}

func TestQEMUProcessKill(t *testing.T) {
	_, folder, _ := standIn(t, FormatUUID(someUUID))
	p, err := FindQEMU(folder, "g", someUUID, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if !p.Ended(0) {
		t.Error("it lives")
	}
}

// libvirt calls the file by a guest's name as XML would have it.
func TestQEMUProcessOfNames(t *testing.T) {
	_, folder, _ := standIn(t, FormatUUID(someUUID))
	for name, file := range map[string]string{
		`Gäste zwölf`: `Gäste zwölf.pid`,
		`a&<b>'c"`:    `a&amp;&lt;b&gt;&apos;c&quot;.pid`,
		`&amp;`:       `&amp;amp;.pid`,
	} {
		if err := os.Link(filepath.Join(folder, "g.pid"), filepath.Join(folder, file)); err != nil {
			t.Fatal(err)
		}
		p, err := FindQEMU(folder, name, someUUID, os.Getuid())
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
}

// Nothing but the guest's own QEMU is ever signalled.
func TestQEMUProcessOfOthers(t *testing.T) {
	_, folder, _ := standIn(t, FormatUUID(libvirt.UUID{9}))
	if _, err := FindQEMU(folder, "g", someUUID, os.Getuid()); !errors.Is(err, errOther) {
		t.Errorf("another guest's: %v", err)
	}
	if _, err := FindQEMU(folder, "../g", someUUID, os.Getuid()); err == nil {
		t.Error("a file in another folder was taken")
	}
	if os.Getuid() == 0 {
		return // root's processes pass
	}
	_, folder, _ = standIn(t, FormatUUID(someUUID))
	if _, err := FindQEMU(folder, "g", someUUID, os.Getuid()+1); err == nil {
		t.Error("another user's process was taken")
	}
}
