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

// monolithic is libvirt as one daemon, and modular as several, in the order in which they start.
// Each has the QEMU driver in its first.
var (
	monolithic = []string{"libvirtd"}
	modular    = []string{"virtqemud", "virtstoraged", "virtnetworkd", "virtsecretd", Virtproxyd}
)

// Virtproxyd is the modular daemon that listens at libvirtd's unix socket, and hands calls on. For
// other hosts it would listen at sockets of systemd's alone, which the lab has not.
const Virtproxyd = "virtproxyd"

// daemons are libvirt's on this host.
func (h *Host) daemons() []string {
	if _, err := os.Stat(h.Path("/usr/sbin/" + modular[0])); err == nil {
		return modular
	}
	return monolithic
}

// Libvirtd is the name of the daemon with libvirt's QEMU driver: libvirtd, or virtqemud.
func (h *Host) Libvirtd() string { return h.daemons()[0] }

// writeConfig writes the files under the host's /etc. The index tells the hosts apart where they
// must differ.
func (h *Host) writeConfig(index int, opts Options) error {
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	for _, other := range h.lab.Hosts() {
		hosts += other.Addr + " " + other.Name + "\n"
	}
	files := map[string]string{
		"/etc/hostname":          h.Name + "\n",
		"/etc/hosts":             hosts,
		"/etc/libvirt/qemu.conf": qemuConf + opts.QemuConf,
	}
	id := uuid.NewString()
	for _, daemon := range h.daemons() {
		files["/etc/libvirt/"+daemon+".conf"] = daemonConf(daemon, id) + opts.LibvirtdConf
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

// daemonConf lets every local process in, and every TCP client of the lab's network. Several
// libvirtd on one machine would all read its firmware's UUID, and refuse to migrate to what they
// take for themselves.
func daemonConf(daemon, hostUUID string) string {
	conf := fmt.Sprintf(`host_uuid = "%s"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
log_outputs = "3:file:%s"
`, hostUUID, LogOf(daemon))
	if daemon == monolithic[0] {
		conf += "listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"none\"\n"
	}
	return conf
}

// LogOf is the log of a libvirt daemon, within its host.
func LogOf(daemon string) string { return "/var/log/libvirt/" + daemon + ".log" }

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

func pidFile(daemon string) string { return "/run/" + daemon + ".pid" }

// StartLibvirtd starts libvirt's daemons that do not run, and returns when they serve. They belong
// to the host, not to this process.
func (h *Host) StartLibvirtd(ctx context.Context) error {
	for _, daemon := range h.daemons() {
		if _, err := h.DaemonPID(daemon); err == nil {
			continue
		}
		args := []string{"--daemon", "--pid-file", pidFile(daemon)}
		if daemon == monolithic[0] {
			args = append(args, "--listen")
		}
		out, err := h.Command(ctx, daemon, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("start %s on %s: %w: %s%s", daemon, h.Name, err, bytes.TrimSpace(out), h.logTail(LogOf(daemon)))
		}
	}
	return nil
}

// LibvirtdPID is DaemonPID of the daemon with the QEMU driver.
func (h *Host) LibvirtdPID() (int, error) { return h.DaemonPID(h.Libvirtd()) }

// DaemonPID returns the pid of one of libvirt's daemons on the host, as the machine numbers it. It
// fails with [os.ErrProcessDone] when it runs no longer.
func (h *Host) DaemonPID(daemon string) (int, error) {
	raw, err := os.ReadFile(h.Path(pidFile(daemon)))
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w", daemon, h.Name, err)
	}
	inner, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %s: %w", daemon, h.Name, pidFile(daemon), err)
	}
	return h.outerPid(inner, daemon)
}

// KillLibvirtd is KillDaemon of the daemon with the QEMU driver. Guests run on, as they do under a
// libvirtd that crashed.
func (h *Host) KillLibvirtd(ctx context.Context, sig syscall.Signal) error {
	return h.KillDaemon(ctx, h.Libvirtd(), sig)
}

// KillDaemon sends one of libvirt's daemons a signal and waits for its end.
func (h *Host) KillDaemon(ctx context.Context, daemon string, sig syscall.Signal) error {
	pid, err := h.DaemonPID(daemon)
	if err != nil {
		return err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", daemon, h.Name, os.NewSyscallError("pidfd_open", err))
	}
	defer unix.Close(pidfd)
	if err := unix.PidfdSendSignal(pidfd, sig, nil, 0); err != nil {
		return fmt.Errorf("%s of %s: %w", daemon, h.Name, os.NewSyscallError("pidfd_send_signal", err))
	}
	if err := waitGone(ctx, pidfd); err != nil {
		return fmt.Errorf("%s of %s: %w", daemon, h.Name, err)
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
