package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// writeConfig writes the files under the host's /etc. The index tells the hosts apart where they
// must differ.
func (h *Host) writeConfig(index int, opts Options) error {
	hosts := "127.0.0.1 localhost\n::1 localhost\n" + addrA + " " + HostA + "\n" + addrB + " " + HostB + "\n"
	files := map[string]string{
		"/etc/hostname":              h.Name + "\n",
		"/etc/hosts":                 hosts,
		"/etc/libvirt/libvirtd.conf": libvirtdConf() + opts.LibvirtdConf,
		"/etc/libvirt/qemu.conf":     qemuConf + opts.QemuConf,
	}
	for name, content := range files {
		// The layer's file takes the place of what may be a link to somewhere on the machine.
		if err := os.Remove(h.Path(name)); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.WriteFile(h.Path(name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// libvirtdConf lets every local process in, and every TCP client of this network of two. Two
// libvirtd on one machine would both read its firmware's UUID, and refuse to migrate to what they
// take for themselves.
func libvirtdConf() string {
	return `host_uuid = "` + uuid.NewString() + `"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
`
}

// qemuConf takes away what needs the machine's help: AppArmor, virtlogd, namespaces within
// namespaces, cgroups, and the extended attributes in which libvirt remembers owners. It sets no
// user, so that QEMU runs as libvirt-qemu. Migrations with --tls read their certificates from
// /etc/pki/qemu, where tests put some.
const qemuConf = `security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
remember_owner = 0
migrate_tls_x509_cert_dir = "/etc/pki/qemu"
`

const libvirtdPidFile = "/run/libvirtd.pid"

// StartLibvirtd starts libvirtd and returns when it serves. The daemon belongs to the host, not to
// this process.
func (h *Host) StartLibvirtd(ctx context.Context) error {
	out, err := h.Command(ctx, "libvirtd", "--daemon", "--listen", "--pid-file", libvirtdPidFile).CombinedOutput()
	if err != nil {
		return fmt.Errorf("start libvirtd on %s: %w: %s%s", h.Name, err, bytes.TrimSpace(out), h.logTail("/var/log/libvirt/libvirtd.log"))
	}
	return nil
}

// LibvirtdPID returns the pid of the host's libvirtd, as the machine numbers it. It fails with
// [os.ErrProcessDone] when there is none.
func (h *Host) LibvirtdPID() (int, error) {
	raw, err := os.ReadFile(h.Path(libvirtdPidFile))
	if err != nil {
		return 0, fmt.Errorf("libvirtd of %s: %w", h.Name, err)
	}
	inner, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0, fmt.Errorf("libvirtd of %s: %s: %w", h.Name, libvirtdPidFile, err)
	}
	return h.outerPid(inner)
}

// KillLibvirtd sends libvirtd a signal and waits for its end. Guests run on, as they do under a
// libvirtd that crashed.
func (h *Host) KillLibvirtd(ctx context.Context, sig syscall.Signal) error {
	pid, err := h.LibvirtdPID()
	if err != nil {
		return err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("libvirtd of %s: %w", h.Name, os.NewSyscallError("pidfd_open", err))
	}
	defer unix.Close(pidfd)
	if err := unix.PidfdSendSignal(pidfd, sig, nil, 0); err != nil {
		return fmt.Errorf("libvirtd of %s: %w", h.Name, os.NewSyscallError("pidfd_send_signal", err))
	}
	if err := waitGone(ctx, pidfd); err != nil {
		return fmt.Errorf("libvirtd of %s: %w", h.Name, err)
	}
	return nil
}

// logTail returns the last lines of one of the host's logs, for the end of an error.
func (h *Host) logTail(path string) string {
	raw, err := os.ReadFile(h.Path(path))
	if err != nil || len(raw) == 0 {
		return ""
	}
	const most = 2000
	if len(raw) > most {
		raw = raw[len(raw)-most:]
		raw = raw[bytes.IndexByte(raw, '\n')+1:]
	}
	return "\n" + path + " ends with:\n" + strings.TrimSpace(string(raw))
}
