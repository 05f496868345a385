package proxy

import (
	"context"
	"errors"
	"time"
)

// spareTimeout bounds a call beside a long one. libvirt itself waits 30 s for
// its lock of a guest.
const spareTimeout = 40 * time.Second

// spare is a connection to libvirt for calls beside a long one. It is made when
// it is needed. A call that takes too long costs the connection, and the next
// one makes another. One goroutine uses it.
type spare struct {
	libvirt Libvirt
	virt    *virt
}

func (s *spare) call(f func(*virt) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), spareTimeout)
	defer cancel()
	if s.virt == nil {
		var err error
		if s.virt, err = s.libvirt.Connect(ctx); err != nil {
			return err
		}
	}
	err := s.virt.bound(ctx, func() error { return f(s.virt) })
	if ctx.Err() != nil || errors.Is(err, errLibvirtGone) {
		s.close()
	}
	return err
}

func (s *spare) close() {
	if s.virt != nil {
		s.virt.close()
		s.virt = nil
	}
}
