package rundir

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/virt-sluice/sluice/internal/acl"
)

// MakeToken makes the token by which browsers cancel, unless there is one: that is the other
// process's as well, if the folder is shared. Users who may use the control socket can read it.
func (d *Dir) MakeToken(uids []uint32) error {
	f, err := d.root.OpenFile(WebToken, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
	case err != nil:
		return fmt.Errorf("make the token in %s: %w", d.path, err)
	default:
		_, err = fmt.Fprintln(f, rand.Text())
		if err := errors.Join(err, f.Close()); err != nil {
			d.root.Remove(WebToken)
			return fmt.Errorf("make the token in %s: %w", d.path, err)
		}
	}
	users := make([]int, len(uids))
	for i, uid := range uids {
		users[i] = int(uid)
	}
	return acl.LetRead(d.Path(WebToken), users)
}

// Token is what MakeToken has made, by whichever process.
func (d *Dir) Token() (string, error) {
	data, err := d.root.ReadFile(WebToken)
	if err != nil {
		return "", fmt.Errorf("read the token in %s: %w", d.path, err)
	}
	return string(bytes.TrimSpace(data)), nil
}
