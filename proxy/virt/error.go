package virt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/digitalocean/go-libvirt"
)

// FromDriver says whether err is what libvirt's QEMU driver has answered, and so what became of the
// call is certain. What stands before the driver (virtproxyd) puts its own broken connection into
// an error of libvirt's, though the driver may have done what was asked for, or be at it.
func FromDriver(err error) bool {
	var e libvirt.Error
	if !errors.As(err, &e) {
		return false
	}
	switch libvirt.ErrorNumber(e.Code) {
	case libvirt.ErrRPC:
		return false
	case libvirt.ErrSystemError:
		// Of a connection, or of a file: the driver writes some, and no connection fails like this.
		for _, words := range diskFull {
			if strings.HasSuffix(strings.TrimSpace(e.Message), words) {
				return true
			}
		}
		return false
	case libvirt.ErrInternalError:
		for _, words := range brokenBetween {
			if strings.Contains(e.Message, words) {
				return false
			}
		}
	}
	return true
}

// diskFull are the C library's words for ENOSPC, EDQUOT and EROFS.
var diskFull = []string{"No space left on device", "Disk quota exceeded", "Read-only file system"}

// brokenBetween are the words of libvirt's client for its connection
// (src/rpc/virnetclient.c, virkeepalive.c) that come as VIR_ERR_INTERNAL_ERROR.
var brokenBetween = []string{"client socket is closed", "client socket hangup", "hangup event on socket", "hangup / error event on socket", "server closed connection", "keepalive timeout"}

// Aborted says whether a job ended because somebody had libvirt abort it.
func Aborted(err error) bool {
	var e libvirt.Error
	return errors.As(err, &e) && libvirt.ErrorNumber(e.Code) == libvirt.ErrOperationAborted
}

// BrokenPipe says whether QEMU, by libvirt's word, wrote to a stream that was closed.
func BrokenPipe(err error) bool {
	var e libvirt.Error
	return errors.As(err, &e) && libvirt.ErrorNumber(e.Code) == libvirt.ErrOperationFailed && strings.Contains(e.Message, "Broken pipe")
}

// Words are libvirt's words, which may have a trailing line break, with what it was to do, and what to
// do about it where that is known.
func Words(doing string, err error) string {
	text := fmt.Sprintf("libvirt, %s: %s", doing, strings.TrimSpace(err.Error()))
	if do := remedy(err); do != "" {
		text += "; " + do
	}
	return text
}
