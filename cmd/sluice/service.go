package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/coreos/go-systemd/v22/dbus"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// serveAsService runs the daemon as a child and goes between it and systemd. systemd starts a
// service again only once its main process has ended, and the daemon has migrations to finish. So
// the main process is this one, which ends at once when it is told to stop because the service
// restarts. The daemon serves on, until the next has taken over from it.
func serveAsService(io streams, o *serveOptions, log zerolog.Logger) error {
	program, err := os.Executable()
	if err != nil {
		return failed(err)
	}
	daemon := exec.Command(program, "serve", "--follow", "--config", o.config, "--log-level", o.logLevel)
	daemon.Stdout, daemon.Stderr = io.out, io.err
	daemon.ExtraFiles = listeners()
	// systemd's words to its main process about the watchdog are for the daemon.
	daemon.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") })
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGABRT)
	defer signal.Stop(signals)
	notes, err := notificationsOf(daemon)
	if err != nil {
		return failed(err)
	}
	if err := daemon.Start(); err != nil {
		return failed(err)
	}
	if notes != nil {
		defer notes.Close()
		go passNotifications(notes, daemon.Process.Pid, log)
	}
	var late <-chan time.Time
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGTERM {
				again, err := restarts()
				if err != nil {
					log.Warn().Err(err).Msg("systemd can't be asked whether the service restarts: it is taken for stopped")
				}
				if again {
					log.Info().Int("process", daemon.Process.Pid).Msg("the service restarts: this daemon serves until the next has taken over, and finishes what it has")
					return nil
				}
			}
			if s == syscall.SIGABRT { // of systemd's watchdog
				late = time.After(abortGrace)
			}
			daemon.Process.Signal(s)
		case <-late:
			daemon.Process.Kill()
		case err := <-ended:
			return daemonEnded(err, log)
		}
	}
}

// listeners are the sockets that systemd has given the service (sd_listen_fds(3)), for tunnels that
// listen at fd:3 and so on: the daemon has them by the same numbers.
func listeners() (files []*os.File) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	for i := range n {
		files = append(files, os.NewFile(uintptr(3+i), "listener"))
	}
	return files
}

// notificationsOf has a daemon that is to be started tell this process what it would tell systemd,
// which listens to the main process alone. It is nil where there is no systemd.
func notificationsOf(daemon *exec.Cmd) (*net.UnixConn, error) {
	const variable = "NOTIFY_SOCKET"
	if os.Getenv(variable) == "" {
		return nil, nil
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: "@sluice-" + rand.Text()})
	if err != nil {
		return nil, err
	}
	raw, err := l.SyscallConn()
	if err == nil {
		ctlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = errors.Join(ctlErr, err)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	daemon.Env = append(slices.DeleteFunc(daemon.Env, func(v string) bool { return strings.HasPrefix(v, variable+"=") }), variable+"="+l.LocalAddr().String())
	return l, nil
}

// passNotifications passes on what the daemon says. Others can write to the socket as well, and are
// not heard.
func passNotifications(l *net.UnixConn, pid int, log zerolog.Logger) {
	// There is room for credentials alone, so that the kernel drops descriptors that others send.
	text, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		n, oobn, _, _, err := l.ReadMsgUnix(text, oob)
		if err != nil {
			return
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 {
			continue
		}
		if who, err := unix.ParseUnixCredentials(&messages[0]); err != nil || int(who.Pid) != pid {
			continue
		}
		if _, err := systemd.SdNotify(false, string(text[:n])); err != nil {
			log.Warn().Err(err).Msg("cannot notify systemd, which may think that the daemon hangs")
		}
	}
}

// abortGrace is what a daemon that hangs has to say where.
const abortGrace = 10 * time.Second

// daemonEnded is how this process ends when the daemon has: as that did, which has told the reason.
func daemonEnded(err error, log zerolog.Logger) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Exited():
		log.Error().Msg("the daemon has failed: its log says why; one that served before the service was restarted serves on (sluice status)")
		return &exitError{code: exit.ExitCode()} // all has been said
	}
	return failed(fmt.Errorf("the daemon: %w", err))
}

// restarts says whether systemd stops this process's service in order to start it again.
func restarts() (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := dbus.NewSystemdConnectionContext(ctx) // root's own way, without a bus
	if err != nil {
		var onBus error
		if conn, onBus = dbus.NewSystemConnectionContext(ctx); onBus != nil {
			return false, errors.Join(err, onBus)
		}
	}
	defer conn.Close()
	unit, err := conn.GetUnitNameByPID(ctx, uint32(os.Getpid()))
	if err != nil {
		return false, err
	}
	jobs, err := conn.ListJobsContext(ctx)
	return slices.ContainsFunc(jobs, func(j dbus.JobStatus) bool { return j.Unit == unit && j.JobType == "restart" }), err
}
