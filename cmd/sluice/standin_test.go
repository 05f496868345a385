package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/virt-sluice/sluice/internal/stand"
)

// startStandin runs the daemon's stand-in until the test ends.
func startStandin(t *testing.T, scenario ...string) (socket string) {
	t.Helper()
	socket = filepath.Join(stand.Folder(t), "s")
	cmd := exec.Command("standin", append([]string{socket}, scenario...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if !appears(socket) {
		t.Fatal("the stand-in does not start")
	}
	return socket
}

// appears waits for a file.
func appears(path string) bool {
	return comes(func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}
