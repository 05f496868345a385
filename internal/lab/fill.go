package lab

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// FillDisk makes the file system of one of the host's own folders (such as /run) full, as it is at
// this moment, until the function that is returned is called.
func (h *Host) FillDisk(ctx context.Context, folder string) (undo func() error, err error) {
	used := func() (st unix.Statfs_t, err error) {
		if err = unix.Statfs(h.Path(folder), &st); err != nil {
			err = fmt.Errorf("%s: statfs %s: %w", h.Name, folder, err)
		}
		return st, err
	}
	before, err := used()
	if err != nil {
		return nil, err
	}
	resize := func(ctx context.Context, blocks uint64) error {
		size := fmt.Sprintf("remount,size=%d", blocks*uint64(before.Bsize))
		if out, err := h.Command(ctx, "mount", "-o", size, folder).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: mount -o %s %s: %w: %s", h.Name, size, folder, err, bytes.TrimSpace(out))
		}
		return nil
	}
	for {
		now, err := used()
		if err != nil {
			return nil, err
		}
		err = resize(ctx, max(now.Blocks-now.Bfree, 1)) // 0 would be no limit
		if err == nil {
			break
		}
		// The kernel refuses less than what is there, which may have become more.
		if grown, errUsed := used(); errUsed != nil || grown.Bfree >= now.Bfree {
			return nil, err
		}
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return resize(ctx, before.Blocks)
	}, nil
}
