package virt

import (
	"cmp"
	"context"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
)

// UsedBy is the name of a guest other than one that names the path in its description, active or not;
// empty for none.
func (l Libvirt) UsedBy(ctx context.Context, path string, other libvirt.UUID) (name string, err error) {
	return l.guestWith(ctx, func(dom libvirt.Domain, description string) (bool, error) {
		if dom.UUID == other {
			return false, nil
		}
		return domainxml.Names(description, path)
	})
}

// WrittenBy is the name of a guest that writes to an image otherwise than as qcow2, and so what it
// likes, a header too; empty for none.
func (l Libvirt) WrittenBy(ctx context.Context, path string) (name string, err error) {
	return l.guestWith(ctx, func(_ libvirt.Domain, description string) (bool, error) {
		return domainxml.WritesRaw(description, path)
	})
}

// guestWith is the name of a guest of whose descriptions one is what is looked for, active or not;
// empty for none.
func (l Libvirt) guestWith(ctx context.Context, is func(dom libvirt.Domain, description string) (bool, error)) (name string, err error) {
	v, err := l.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer v.Close()
	err = v.Bound(ctx, func() error {
		guests, _, err := v.ConnectListAllDomains(1, 0)
		for _, g := range guests {
			for _, flags := range []libvirt.DomainXMLFlags{0, libvirt.DomainXMLInactive} {
				text, err := v.DomainGetXMLDesc(g, flags)
				if libvirt.IsNotFound(err) {
					continue // it has just gone
				}
				if err != nil {
					return err
				}
				if found, err := is(g, text); found || err != nil {
					name = cmp.Or(name, g.Name)
					return err
				}
			}
		}
		return err
	})
	return name, err
}
