package virt

import (
	"errors"
	"fmt"
	"testing"

	"github.com/digitalocean/go-libvirt"
)

// An error that a broken connection behind libvirt's socket can be is no answer.
func TestAnswered(t *testing.T) {
	of := func(code libvirt.ErrorNumber, text string) error {
		return fmt.Errorf("finish: %w", libvirt.Error{Code: uint32(code), Message: text})
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{of(libvirt.ErrOperationFailed, "migration failed"), true},
		{of(libvirt.ErrInternalError, "internal error: unable to execute QEMU command 'cont'"), true},
		{of(libvirt.ErrNoDomain, "Domain not found"), true},
		{of(libvirt.ErrInternalError, "internal error: client socket is closed"), false},
		{of(libvirt.ErrInternalError, "internal error: received hangup event on socket"), false},
		{of(libvirt.ErrInternalError, "internal error: connection closed due to keepalive timeout"), false},
		{of(libvirt.ErrRPC, "connection closed due to keepalive timeout"), false},
		{of(libvirt.ErrSystemError, "Cannot recv data: Connection reset by peer"), false},
		{of(libvirt.ErrSystemError, "cannot write data to file '/run/libvirt/qemu/g.xml.new': No space left on device"), true},
		{ErrGone, false},
		{errors.New("EOF"), false},
	} {
		if got := FromDriver(c.err); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}
