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

// errNoStorage is of modular daemons without virtstoraged.
var errNoStorage = errors.New("libvirt has no storage driver: install it (libvirt-daemon-driver-storage), and start virtstoraged")

// connectStorage opens libvirt where it has its storage driver.
func (l Libvirt) connectStorage(ctx context.Context) (*Conn, error) {
	raw, socket, err := l.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	uri := libvirt.QEMUSystem
	if filepath.Base(socket) == "virtqemud-sock" { // which has no storage of its own
		raw.Close()
		l.Socket, uri = filepath.Join(filepath.Dir(socket), "virtstoraged-sock"), "storage:///system"
		if _, err := os.Stat(l.Socket); errors.Is(err, fs.ErrNotExist) {
			return nil, errNoStorage
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
