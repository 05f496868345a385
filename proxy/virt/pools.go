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

// Pools are this host's storage pools that are active.
func (l Libvirt) Pools(ctx context.Context) ([]guestpolicy.Pool, error) {
	raw, socket, err := l.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	uri := libvirt.QEMUSystem
	if filepath.Base(socket) == "virtqemud-sock" { // which has no storage of its own
		raw.Close()
		l.Socket, uri = filepath.Join(filepath.Dir(socket), "virtstoraged-sock"), "storage:///system"
		if _, err := os.Stat(l.Socket); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if raw, socket, err = l.dial(ctx, false); err != nil {
			return nil, err
		}
	}
	v, err := newConn(ctx, raw, uri)
	if err != nil {
		return nil, fmt.Errorf("open %s at %s: %w", uri, socket, err)
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
