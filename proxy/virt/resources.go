package virt

import (
	"context"
	"errors"
	"fmt"

	"github.com/digitalocean/go-libvirt"
	"github.com/prometheus/procfs"
)

// allCells stands for the host as a whole (VIR_NODE_MEMORY_STATS_ALL_CELLS).
const allCells = -1

// FreeMemory is how many bytes programs could have: what is free, and what the kernel keeps of files.
// libvirt counts as kept what is shared, too, such as the memory of guests that vhost-user serves. The
// kernel, which is libvirt's as well, says what it could give without swapping (MemAvailable).
func (v *Conn) FreeMemory(ctx context.Context) (free uint64, err error) {
	err = v.Bound(ctx, func() error {
		_, n, err := v.NodeGetMemoryStats(0, allCells, 0)
		if err != nil {
			return err
		}
		stats, _, err := v.NodeGetMemoryStats(n, allCells, 0)
		for _, s := range stats {
			switch s.Field {
			case "free", "buffers", "cached":
				free += s.Value << 10
			}
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return free, nil
	}
	if kernel, err := proc.Meminfo(); err == nil && kernel.MemAvailableBytes != nil {
		free = min(free, *kernel.MemAvailableBytes)
	}
	return free, nil
}

// FreePages is how many huge pages of a size, in bytes, are free.
func (v *Conn) FreePages(ctx context.Context, size uint64) (free uint64, err error) {
	err = v.Bound(ctx, func() error {
		counts, err := v.NodeGetFreePages([]uint32{uint32(size >> 10)}, allCells, 1, 0)
		for _, n := range counts {
			free += n
		}
		return err
	})
	return free, err
}

// NetworkActive says whether libvirt has a network of that name, and whether it is active.
func (l Libvirt) NetworkActive(ctx context.Context, name string) (has, active bool, err error) {
	v, err := l.connectDriver(ctx, "virtnetworkd", "network:///system")
	if err != nil {
		return false, false, err
	}
	defer v.Close()
	err = v.Bound(ctx, func() error {
		net, err := v.NetworkLookupByName(name)
		if err != nil {
			return err
		}
		is, err := v.NetworkIsActive(net)
		has, active = true, is != 0
		return err
	})
	if hasCode(err, libvirt.ErrNoNetwork) {
		return false, false, nil
	}
	return has, active, err
}

// secretUsages are virSecretUsageType's.
var secretUsages = map[string]int32{"volume": 1, "ceph": 2, "iscsi": 3, "tls": 4, "vtpm": 5,
	"passphrase": 1, // an encrypted disk's, which libvirt looks up as a volume's (qemuDomainSecretStorageSourcePrepareEncryption)
}

// HasSecret says whether libvirt has a secret, by its UUID or else by its usage. kind is the type of
// the latter.
func (l Libvirt) HasSecret(ctx context.Context, uuid, kind, usage string) (has bool, err error) {
	v, err := l.connectDriver(ctx, "virtsecretd", "secret:///system")
	if err != nil {
		return false, err
	}
	defer v.Close()
	err = v.Bound(ctx, func() error {
		if uuid == "" {
			number, known := secretUsages[kind]
			if !known {
				return fmt.Errorf("secrets of type %.20q are not looked for by their usage", kind)
			}
			_, err := v.SecretLookupByUsage(number, usage)
			return err
		}
		id, err := ParseUUID(uuid)
		if err == nil {
			_, err = v.SecretLookupByUUID(id)
		}
		return err
	})
	if hasCode(err, libvirt.ErrNoSecret) {
		return false, nil
	}
	return err == nil, err
}

// Named is the guest that has a name; has is false where none does.
func (v *Conn) Named(ctx context.Context, name string) (dom libvirt.Domain, has bool, err error) {
	err = v.Bound(ctx, func() (err error) {
		dom, err = v.DomainLookupByName(name)
		return err
	})
	if libvirt.IsNotFound(err) {
		return dom, false, nil
	}
	return dom, err == nil, err
}

// NameOf is the name of the guest with a UUID; empty where there is none.
func (v *Conn) NameOf(ctx context.Context, uuid libvirt.UUID) (name string, err error) {
	err = v.Bound(ctx, func() error {
		dom, err := v.DomainLookupByUUID(uuid)
		name = dom.Name
		return err
	})
	if libvirt.IsNotFound(err) {
		return "", nil
	}
	return name, err
}

func hasCode(err error, code libvirt.ErrorNumber) bool {
	var e libvirt.Error
	return errors.As(err, &e) && e.Code == uint32(code)
}
