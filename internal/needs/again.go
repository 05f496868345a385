package needs

import (
	"bufio"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Again runs the test's own program once more, as a user without capabilities, whose environment has
// variable (NAME=VALUE) alone: its TestMain tells by that what to do. It returns the first line that
// the program says. end closes the program's standard input and waits for its end.
func Again(t testing.TB, uid uint32, variable string, args ...string) (line string, end func() error) {
	t.Helper()
	Root(t, "for a process of another user")
	c := exec.Command("/proc/self/exe", args...)
	c.Env = []string{variable}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	hold, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() error {
		hold.Close()
		return c.Wait()
	}
	if line, err = bufio.NewReader(said).ReadString('\n'); err != nil {
		end()
		t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n"), end
}
