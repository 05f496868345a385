package rundir

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/virt-sluice/sluice/internal/acl"
)

// MakeToken makes the token by which browsers cancel, unless there is one: that is the other
// process's as well, if the folder is shared. Users who may use the control socket can read it.
func (d *Dir) MakeToken(uids []uint32) error {
	// Linked once it is whole: a process that is killed in between leaves no token that is empty.
	whole := WebToken + "." + rand.Text() + newSuffix
	err := d.root.WriteFile(whole, []byte(rand.Text()+"\n"), 0o600)
	if err == nil {
		err = d.root.Link(whole, WebToken)
	}
	d.root.Remove(whole)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the token in %s: %w", d.path, err)
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
