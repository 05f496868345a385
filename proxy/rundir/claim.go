package rundir

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// claimsFile is locked byte by byte, and stays empty.
const claimsFile = "claims"

// Claim takes something, by name, for this process, while more than one serves the folder. It says
// false if another process has it. The kernel gives up the claims of a process that ends. One
// process's own claims do not exclude each other.
func (d *Dir) Claim(name string) (bool, error) {
	switch err := d.claim(name, unix.F_WRLCK); {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return false, nil
	default:
		return err == nil, err
	}
}

// AwaitClaim is Claim that waits for other processes, until ctx ends.
func (d *Dir) AwaitClaim(ctx context.Context, name string) error {
	again := time.NewTicker(claimPoll)
	defer again.Stop()
	for {
		if is, err := d.Claim(name); is || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// claimPoll is how often what another process has is asked for: the kernel's own wait (F_OFD_SETLKW)
// ends with no context.
const claimPoll = 20 * time.Millisecond

// Unclaim gives up what Claim has taken.
func (d *Dir) Unclaim(name string) error { return d.claim(name, unix.F_UNLCK) }

func (d *Dir) claim(name string, kind int16) error {
	raw, err := d.claims.SyscallConn()
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(name))
	at := int64(binary.BigEndian.Uint64(sum[:]) >> 2) // an offset has a sign, and must not end at its greatest
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.FcntlFlock(fd, unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Start: at, Len: 1})
	})
	if err = errors.Join(ctlErr, err); err != nil {
		return fmt.Errorf("claim a guest in %s: %w", d.path, err)
	}
	return nil
}
