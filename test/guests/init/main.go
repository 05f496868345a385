// Command init is the only process of the guest that tries kernel TLS: it loads the modules that
// are in /modules, in the order of their names, runs the programs that are in /run one after
// another, and powers the machine off. Its last line on the console says how it went.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	err := run()
	if err != nil {
		fmt.Println("guest: failed:", err)
	} else {
		fmt.Println("guest: passed")
	}
	unix.IoctlSetInt(1, unix.TCSBRK, 1) // waits until the console has said all of it (tcdrain)
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	for _, m := range []struct{ fs, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}} {
		os.Mkdir(m.at, 0o755)
		if err := unix.Mount(m.fs, m.at, m.fs, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	modules, _ := filepath.Glob("/modules/*")
	for _, path := range modules {
		if err := load(path); err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	programs, _ := filepath.Glob("/run/*")
	for _, path := range programs {
		if err := program(path); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// program runs one, with the arguments that are in /args under its name, one to a line.
func program(path string) error {
	args, err := os.ReadFile("/args/" + filepath.Base(path))
	if err != nil {
		return err
	}
	cmd := exec.Command(path, strings.Fields(string(args))...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/tmp", os.Stdout, os.Stdout
	cmd.Env = append(os.Environ(), "HOME=/tmp", "PATH=/")
	return cmd.Run()
}

func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// An implementation for instructions that the processor lacks has nothing to do.
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != unix.ENODEV && err != unix.EEXIST {
		return err
	}
	return nil
}
