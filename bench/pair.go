package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startPatience is how long a relay may take to listen.
const startPatience = 20 * time.Second

// pair is the two relays of one measurement.
type pair struct {
	dir   string
	sends *exec.Cmd
	far   *rpc.Client // has the other one
}

// start starts a contender's relays, the receiving one first, and returns when both listen.
func (r *run) start(ctx context.Context, c contender) (p *pair, err error) {
	dir, err := os.MkdirTemp(r.dir, "")
	if err != nil {
		return nil, err
	}
	p = &pair{dir: dir, far: r.far}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w%s", err, p.said())
			p.stop()
		}
	}()
	certs, err := readFiles(r.certs)
	if err != nil {
		return p, err
	}
	deadline, _ := ctx.Deadline()
	var peer string
	if err := r.far.Call("Far.Open", FarOpen{c.name, r.opts.farHost(), certs, time.Until(deadline)}, &peer); err != nil {
		return p, err
	}
	in := filepath.Join(dir, "in")
	p.sends, err = r.launcher.relay(ctx, c, &end{name: c.name, sends: true, local: in, peer: peer, dir: p.near(), certs: r.certs}, in)
	return p, err
}

func (p *pair) near() string { return filepath.Join(p.dir, "relay") }

// relay starts one and waits until it listens.
func (l *launcher) relay(ctx context.Context, c contender, e *end, at string) (*exec.Cmd, error) {
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(e.dir, "output"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(c.program, c.relay(e)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = e.dir, log, log
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+filepath.Join(e.certs, opensslConf))
	if err := l.start(cmd); err != nil {
		return nil, err
	}
	// Nothing tells that a program listens but the kernel's own tables.
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	patience := time.After(startPatience)
	for !listens(cmd.Process.Pid, at) {
		if exited(cmd.Process.Pid) {
			return cmd, errors.New("it has ended")
		}
		select {
		case <-look.C:
		case <-patience:
			return cmd, errors.New("it does not listen")
		case <-ctx.Done():
			return cmd, context.Cause(ctx)
		}
	}
	return cmd, nil
}

// stop ends the relays.
func (p *pair) stop() {
	stopRelay(p.sends)
	p.far.Call("Far.Close", None{}, &None{})
	os.RemoveAll(p.dir)
}

// said is what the relays have printed, for an error.
func (p *pair) said() string {
	var far string
	p.far.Call("Far.Said", None{}, &far)
	return said(p.near()) + far
}

// said is what the relay in a folder has printed.
func said(dir string) string {
	var b strings.Builder
	for _, file := range []string{"output", "nginx.log"} {
		text, _ := os.ReadFile(filepath.Join(dir, file))
		if text = text[max(0, len(text)-500):]; len(text) > 0 {
			fmt.Fprintf(&b, "\n%s: %s", file, strings.TrimSpace(string(text)))
		}
	}
	return b.String()
}

// connect makes a stream through both relays, and tells how long it took until a
// byte had gone there and back.
func (p *pair) connect(deadline time.Time) (c net.Conn, took time.Duration, err error) {
	begun := time.Now()
	if c, err = net.Dial("unix", filepath.Join(p.dir, "in")); err != nil {
		return nil, 0, err
	}
	c.SetDeadline(deadline)
	// Some connect onwards only when there is something to send.
	b := []byte{1}
	if _, err = c.Write(b); err == nil {
		_, err = io.ReadFull(c, b)
	}
	if err != nil {
		c.Close()
		return nil, 0, fmt.Errorf("nothing came through: %w", err)
	}
	return c, time.Since(begun), nil
}

// readFiles are the files of a folder, which has no others in it.
func readFiles(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// writeFiles makes a folder of files, in place of what was there.
func writeFiles(dir string, files map[string][]byte) error {
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return err
	}
	for name, text := range files {
		if !filepath.IsLocal(name) || filepath.Base(name) != name {
			return fmt.Errorf("%q is no file's name", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
