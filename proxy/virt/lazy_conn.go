package virt

import (
	"context"
	"errors"
	"time"
)

// LazyTimeout bounds a call beside a long one. libvirt itself waits 30 s for its lock of a guest.
const LazyTimeout = 40 * time.Second

// LazyConn is a connection to libvirt for calls beside a long one. It is made when
// it is needed. A call that takes too long costs the connection, and the next
// one makes another. One goroutine uses it.
type LazyConn struct {
	Libvirt Libvirt
	virt    *Conn
}

// Call makes one call that ends with ctx, and after LazyTimeout at the latest.
func (s *LazyConn) Call(ctx context.Context, f func(*Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, LazyTimeout)
	defer cancel()
	if s.virt == nil {
		var err error
		if s.virt, err = s.Libvirt.Connect(ctx); err != nil {
			return err
		}
	}
	err := s.virt.Bound(ctx, func() error { return f(s.virt) })
	if ctx.Err() != nil || errors.Is(err, ErrGone) {
		s.Close()
	}
	return err
}

func (s *LazyConn) Close() {
	if s.virt != nil {
		s.virt.Close()
		s.virt = nil
	}
}
