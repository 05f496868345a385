package proxy

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
)

// A testHost is one daemon on 127.0.0.1, with an echo of libvirt.
type testHost struct {
	*hosttest.Files
	*Daemon
	logged logBuffer

	stop func() // ends the daemon, once

	noLibvirt bool             // there is not even an echo
	clock     func() time.Time // by which it judges peers' certificates; nil is the machine's
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newTestHost makes a host that has no certificates yet and is not started.
func newTestHost(t *testing.T, name string) *testHost {
	return &testHost{Files: hosttest.New(t, name)}
}

// pairOfHosts are two hosts that trust one CA; b does not call a.
func pairOfHosts(t *testing.T, ca *pki.CA) (a, b *testHost) {
	t.Helper()
	fa, fb := hosttest.Pair(t, ca)
	return &testHost{Files: fa}, &testHost{Files: fb}
}

// start runs the host's daemon, and its echo, until the test's end.
func (h *testHost) start(top, tables string) {
	h.T.Helper()
	h.startWith(h.Configure(top, tables))
}

func (h *testHost) startWith(cfg *config.Config) {
	h.T.Helper()
	if !h.noLibvirt {
		h.startEcho()
	}
	d, err := New(Options{Config: cfg, Log: zerolog.New(&h.logged), Version: "test"})
	if err != nil {
		h.T.Fatal(err)
	}
	h.Daemon, d.now().Peers.Clock = d, h.clock
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, nil) }()
	h.stop = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			h.T.Errorf("%s: %v", h.Name, err)
		}
		if h.T.Failed() {
			h.T.Logf("log of %s:\n%s", h.Name, h.logged.String())
		}
	})
	h.T.Cleanup(h.stop)
	select {
	case <-d.Ready():
	case err := <-ended:
		ended <- err
		h.T.Fatalf("%s: %v", h.Name, err)
	}
}

// peerTable is [peers.NAME] for a daemon that runs.
func peerTable(other *testHost, lines string) string {
	return fmt.Sprintf("[peers.%s]\naddress = '%s'\n%s\n", other.Name, other.listening(), lines)
}

// ask asks the peer something that it does not know, and returns what it was
// told: nil if it was let in.
func (h *testHost) ask(peer string) error {
	h.T.Helper()
	ctx, cancel := context.WithTimeout(h.T.Context(), 20*time.Second)
	defer cancel()
	err := h.now().Opener(h.now().Peers.All[peer]).Ask(ctx, "", "nothing", nil, nil)
	if err != nil && strings.Contains(err.Error(), `there is no question "nothing"`) {
		return nil
	}
	if err == nil {
		h.T.Fatal("an unknown question was answered")
	}
	return err
}
