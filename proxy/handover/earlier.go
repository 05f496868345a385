package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// socketSuffix is that of the names of sockets at which processes answer each other.
const socketSuffix = ".sock"

// SocketName is the name of a process's socket in the folder of all.
func SocketName(id string) string { return id + socketSuffix }

// Earlier is another process of this host's sluice, which was there before this one.
type Earlier struct {
	Process

	path string
	conn *net.UnixConn // open as long as both live
	gone chan struct{}
}

// Find are the processes that answer in folder, those that started last first. What one has left
// that was killed is passed over, and stays: it may be of a process that is only beginning to listen.
func Find(folder string) ([]*Earlier, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var all []*Earlier
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), socketSuffix) {
			continue
		}
		p := &Earlier{path: filepath.Join(folder, e.Name()), gone: make(chan struct{})}
		err := p.watch()
		switch {
		case isGone(err):
		case err != nil:
			return all, fmt.Errorf("an earlier sluice of this host (%s): %w", p.path, err)
		default:
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *Earlier) int { return b.Started.Compare(a.Started) })
	return all, nil
}

// watch opens the connection that ends with the process.
func (p *Earlier) watch() error {
	c, m, _, err := p.ask(&message{Ask: askWatch})
	if err != nil {
		return err
	}
	if m.Process == nil {
		c.Close()
		return errors.New("it does not say who it is")
	}
	p.Process, p.conn = *m.Process, c
	go func() {
		defer close(p.gone)
		read(c)
		c.Close()
	}()
	return nil
}

// ask puts one question, and returns with its first answer. The connection stays open.
func (p *Earlier) ask(m *message) (*net.UnixConn, *message, *os.File, error) {
	return p.askFor(answerTimeout, m, nil)
}

func (p *Earlier) askFor(patience time.Duration, m *message, file *os.File) (*net.UnixConn, *message, *os.File, error) {
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: p.path})
	if err != nil {
		return nil, nil, nil, err
	}
	c.SetDeadline(time.Now().Add(patience))
	err = write(c, m, file)
	var answer *message
	var got *os.File
	if err == nil {
		answer, got, err = read(c)
	}
	if err == nil && answer.Refused != "" {
		err = errors.New(answer.Refused)
	}
	if err != nil {
		if got != nil {
			got.Close()
		}
		c.Close()
		return nil, nil, nil, err
	}
	c.SetDeadline(time.Time{})
	return c, answer, got, nil
}

// Gone is closed once the process has ended.
func (p *Earlier) Gone() <-chan struct{} { return p.gone }

// Close lets go of the process.
func (p *Earlier) Close() {
	p.conn.Close()
	<-p.gone
}

// Pass gives it a connection, if it has the session that mark stands for. The caller's own
// descriptor stays open. open is the first frame, where that has been read. It waits for half of
// what ctx leaves: a process that hangs must not keep those waiting to their end whom the caller can
// serve itself.
func (p *Earlier) Pass(ctx context.Context, c *net.TCPConn, mark string, open []byte) bool {
	patience := answerTimeout
	if end, is := ctx.Deadline(); is {
		patience = min(patience, time.Until(end)/2)
	}
	file, err := duplicate(c)
	if err != nil {
		return false
	}
	defer file.Close()
	asked, m, _, err := p.askFor(patience, &message{Ask: askPass, Mark: mark, Open: open}, file)
	if err != nil {
		return false
	}
	asked.Close()
	return m.Took
}

// Stop has it end what it has: all at once, or when that is done.
func (p *Earlier) Stop(now bool) {
	if c, _, _, err := p.ask(&message{Ask: askStop, Now: now}); err == nil {
		c.Close()
	}
}

// Taking is what another process has given, for as long as it may be given back.
type Taking struct {
	Lock *os.File // of the run folder

	from    *Earlier
	sockets *Sockets
	conn    *net.UnixConn
}

// Take asks a process for its sockets, which sockets then has. It goes on accepting until Serve.
func (p *Earlier) Take(sockets *Sockets) (*Taking, error) {
	c, m, file, err := p.ask(&message{Ask: askTake})
	if err != nil {
		return nil, fmt.Errorf("take over from sluice process %d: %w", p.PID, err)
	}
	t := &Taking{from: p, sockets: sockets, conn: c}
	c.SetDeadline(time.Now().Add(answerTimeout))
	for err == nil && !m.Last {
		switch {
		case file == nil:
			err = errors.New("a socket is missing")
			continue
		case m.Socket == lockSocket:
			t.Lock = file
		default:
			sockets.inherit(m.Socket, file)
		}
		m, file, err = read(c)
	}
	if err == nil && t.Lock == nil {
		err = errors.New("it has no run folder")
	}
	if err != nil {
		if t.Lock != nil {
			t.Lock.Close()
		}
		t.Close()
		return nil, fmt.Errorf("take over from sluice process %d: %w", p.PID, err)
	}
	c.SetDeadline(time.Time{})
	return t, nil
}

// ErrGone: the other process was killed before it could say that it accepts no more.
var ErrGone = errors.New("it was killed meanwhile: start this one again")

// Serve has the other process stop accepting. When it returns nobody accepts, until this process
// does; without error it is this one's turn. From then on the other one keeps the sockets that this
// one listens at.
func (t *Taking) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { t.conn.SetDeadline(time.Unix(1, 0)) })()
	t.conn.SetDeadline(time.Now().Add(answerTimeout))
	err := write(t.conn, &message{Serve: true, Names: t.sockets.Names()}, nil)
	var m *message
	if err == nil {
		m, _, err = read(t.conn)
	}
	switch {
	case err == nil && m.Stopped:
		t.conn.SetDeadline(time.Time{})
		t.sockets.keptBy(t.conn)
		return nil
	case isGone(err), errors.Is(err, net.ErrClosed): // by Close, since it is gone
		select {
		case <-t.from.gone:
			err = ErrGone
		case <-ctx.Done():
		}
	case err == nil && m.Refused != "":
		err = errors.New(m.Refused)
	case err == nil:
		err = errors.New("its answer is not one to this question")
	}
	return fmt.Errorf("take over from an earlier sluice: %w", err)
}

// Close gives back what was taken, or says that this process has ended.
func (t *Taking) Close() { t.conn.Close() }
