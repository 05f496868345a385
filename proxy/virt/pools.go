package virt

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/guestpolicy"
)

// errNoDriver is of modular daemons without the one that is asked for.
var errNoDriver = errors.New("libvirt has no such driver")

// errNoStorage is of modular daemons without virtstoraged.
var errNoStorage = fmt.Errorf("%w for storage: install it (libvirt-daemon-driver-storage), and start virtstoraged", errNoDriver)

// connectStorage opens libvirt where it has its storage driver.
func (l Libvirt) connectStorage(ctx context.Context) (*Conn, error) {
	v, err := l.connectDriver(ctx, "virtstoraged", "storage:///system")
	if errors.Is(err, errNoDriver) {
		return nil, errNoStorage
	}
	return v, err
}

// connectDriver opens libvirt where it has a driver that a modular daemon of its own may hold.
func (l Libvirt) connectDriver(ctx context.Context, daemon string, modular libvirt.ConnectURI) (*Conn, error) {
	raw, socket, err := l.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	uri := libvirt.QEMUSystem
	if filepath.Base(socket) == "virtqemud-sock" { // which has guests alone
		raw.Close()
		l.Socket, uri = filepath.Join(filepath.Dir(socket), daemon+"-sock"), modular
		if _, err := os.Stat(l.Socket); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s does not listen at %s", errNoDriver, daemon, l.Socket)
		}
		if raw, socket, err = l.dial(ctx, false); err != nil {
			return nil, err
		}
	}
	v, err := newConn(ctx, raw, uri)
	if err != nil {
		return nil, fmt.Errorf("open %s at %s: %w", uri, socket, err)
	}
	return v, nil
}

// Pools are this host's storage pools that are active.
func (l Libvirt) Pools(ctx context.Context) ([]guestpolicy.Pool, error) {
	v, err := l.connectStorage(ctx)
	switch {
	case errors.Is(err, errNoStorage):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer v.Close()
	var pools []guestpolicy.Pool
	err = v.Bound(ctx, func() error {
		all, _, err := v.ConnectListAllStoragePools(1, libvirt.ConnectListStoragePoolsActive)
		for _, p := range all {
			text, err := v.StoragePoolGetXMLDesc(p, 0)
			if err != nil {
				continue // it has just gone
			}
			var described struct {
				Type   string `xml:"type,attr"`
				Target string `xml:"target>path"`
			}
			if err := xml.Unmarshal([]byte(text), &described); err != nil {
				return fmt.Errorf("read the description of storage pool %s: %w", p.Name, err)
			}
			pools = append(pools, guestpolicy.Pool{Name: p.Name, Type: described.Type, Target: described.Target})
		}
		return err
	})
	var e libvirt.Error
	if errors.As(err, &e) && e.Code == uint32(libvirt.ErrNoSupport) {
		return nil, nil // libvirt is here without its storage driver
	}
	return pools, err
}
