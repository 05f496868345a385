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
	var st unix.Statfs_t
	if err := unix.Statfs(h.Path(folder), &st); err != nil {
		return nil, fmt.Errorf("%s: statfs %s: %w", h.Name, folder, err)
	}
	resize := func(ctx context.Context, blocks uint64) error {
		size := fmt.Sprintf("remount,size=%d", blocks*uint64(st.Bsize))
		if out, err := h.Command(ctx, "mount", "-o", size, folder).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: mount -o %s %s: %w: %s", h.Name, size, folder, err, bytes.TrimSpace(out))
		}
		return nil
	}
	if err := resize(ctx, max(st.Blocks-st.Bfree, 1)); err != nil { // 0 would be no limit
		return nil, err
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return resize(ctx, st.Blocks)
	}, nil
}
