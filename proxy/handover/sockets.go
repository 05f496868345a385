package handover

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sockets are the listening sockets of this process, each under a name that says where it listens.
// A descriptor of each is kept until Close, so that they can be handed on as long as the process
// lives, also to a process that follows one which was killed: meanwhile the kernel queues whoever
// connects.
type Sockets struct {
	mu        sync.Mutex
	inherited map[string]*os.File // of the process before this one, not asked for yet
	kept      map[string]*os.File
	listeners map[string]*listener
	accepting chan struct{} // closed once this process accepts
	earlier   *net.UnixConn // the process before this one, which keeps the sockets, too; nil: none
}

// NewSockets makes an empty set, of a process that does not accept yet.
func NewSockets() *Sockets {
	return &Sockets{
		inherited: make(map[string]*os.File), kept: make(map[string]*os.File), listeners: make(map[string]*listener),
		accepting: make(chan struct{}),
	}
}

// Listen is the listener of a name: the one that has been taken over from the process before this
// one, or what open makes. Its Accept waits until Accept of the set is called. Sockets of one name
// (at port 0) are told apart by the order in which they are asked for.
func (s *Sockets) Listen(name string, open func() (net.Listener, error)) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.kept[name] != nil {
		name += "+"
	}
	var l net.Listener
	var err error
	file, inherited := s.inherited[name]
	if inherited {
		delete(s.inherited, name)
		l, err = net.FileListener(file)
	} else if l, err = open(); err == nil {
		file, err = duplicate(l)
	}
	if err != nil {
		if l != nil {
			l.Close()
		}
		if file != nil {
			file.Close()
		}
		return nil, err
	}
	if u, is := l.(*net.UnixListener); is {
		u.SetUnlinkOnClose(false) // the path may be the next process's by then
	}
	s.kept[name] = file
	own := &listener{Listener: l, set: s, name: name, inherited: inherited, closed: make(chan struct{})}
	s.listeners[name] = own
	return own, nil
}

// Accept begins to accept, at all listeners of the set. What the process before this one listened
// at, and nobody has asked for here, is closed: who connects there would wait for ever.
func (s *Sockets) Accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.inherited {
		f.Close()
	}
	clear(s.inherited)
	close(s.accepting)
}

// StopAccepting closes all listeners. What they have accepted goes on, and the sockets stay.
func (s *Sockets) StopAccepting() {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.listeners))
	s.mu.Unlock()
	for _, l := range all {
		l.stop()
	}
}

// Retain lets go of all sockets but those.
func (s *Sockets) Retain(names []string) {
	s.mu.Lock()
	for name, f := range s.kept {
		if !slices.Contains(names, name) {
			f.Close()
			delete(s.kept, name)
		}
	}
	s.mu.Unlock()
	s.tell()
}

// Names are those of the sockets.
func (s *Sockets) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.kept))
}

// keptBy says that the process before this one keeps the sockets, too.
func (s *Sockets) keptBy(earlier *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.earlier = earlier
}

// tell has the process before this one retain no others than this one: it would hold a port that
// nobody accepts at.
func (s *Sockets) tell() {
	s.mu.Lock()
	earlier := s.earlier
	s.mu.Unlock()
	if earlier != nil {
		earlier.SetWriteDeadline(time.Now().Add(answerTimeout))
		write(earlier, &message{Names: s.Names()}, nil) // an error means that it has ended, or hangs
	}
}

// Close lets go of all sockets, those that nobody has asked for included. They live on where they
// have been handed on.
func (s *Sockets) Close() {
	s.StopAccepting()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, files := range []map[string]*os.File{s.kept, s.inherited} {
		for _, f := range files {
			f.Close()
		}
		clear(files)
	}
}

// drop lets go of one socket, and removes it if it has a path that is this process's.
func (s *Sockets) drop(l *listener) {
	defer s.tell()
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.kept[l.name]; f != nil {
		f.Close()
		delete(s.kept, l.name)
	}
	delete(s.listeners, l.name)
	select {
	case <-s.accepting:
	default:
		if l.inherited { // it is the other process's yet
			return
		}
	}
	if a, is := l.Addr().(*net.UnixAddr); is {
		os.Remove(a.Name)
	}
}

// inherit notes a socket of the process before this one.
func (s *Sockets) inherit(name string, file *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.inherited[name]; old != nil {
		old.Close()
	}
	s.inherited[name] = file
}

// file is a socket's descriptor, to be handed on; nil if it is gone.
func (s *Sockets) file(name string) *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[name]
}

// listener waits with Accept until this process's turn has come.
type listener struct {
	net.Listener
	set       *Sockets
	name      string
	inherited bool
	closing   sync.Once
	closed    chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.set.accepting:
		return l.Listener.Accept()
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the socket, unless it has been handed on.
func (l *listener) Close() (err error) {
	l.closing.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
		l.set.drop(l)
	})
	return err
}

// stop ends accepting, and leaves the socket.
func (l *listener) stop() {
	l.closing.Do(func() {
		close(l.closed)
		l.Listener.Close()
	})
}

// duplicate is a second descriptor of a socket. It leaves the first non-blocking, unlike its File.
func duplicate(c any) (*os.File, error) {
	sc, is := c.(syscall.Conn)
	if !is {
		return nil, fmt.Errorf("a %T has no descriptor", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	ctlErr := raw.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 3) })
	if err = errors.Join(ctlErr, os.NewSyscallError("fcntl", err)); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "kept"), nil
}
