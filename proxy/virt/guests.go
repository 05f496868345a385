package virt

import (
	"context"
	"fmt"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Described is a guest with its description, as libvirt would send it to another host.
type Described struct {
	Name, Description string
}

// Guests are this host's guests, running or not.
func (l Libvirt) Guests(ctx context.Context) (all []Described, err error) {
	v, err := l.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	err = v.Bound(ctx, func() error {
		domains, _, err := v.ConnectListAllDomains(1, 0)
		if err != nil {
			return err
		}
		for _, dom := range domains {
			text, err := v.DomainGetXMLDesc(dom, libvirt.DomainXMLMigratable)
			if libvirt.IsNotFound(err) {
				continue // it has ended meanwhile
			}
			if err != nil {
				return fmt.Errorf("read the description of guest %s: %w", dom.Name, err)
			}
			all = append(all, Described{dom.Name, text})
		}
		return nil
	})
	return all, err
}

// List names this host's guests.
func (l Libvirt) List(ctx context.Context) (all []control.Guest, err error) {
	v, err := l.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	all = []control.Guest{}
	err = v.Bound(ctx, func() error {
		for _, kind := range []libvirt.ConnectListAllDomainsFlags{libvirt.ConnectListDomainsActive, libvirt.ConnectListDomainsInactive} {
			domains, _, err := v.ConnectListAllDomains(1, kind)
			if err != nil {
				return err
			}
			for _, dom := range domains {
				all = append(all, control.Guest{Name: dom.Name, UUID: FormatUUID(dom.UUID), Active: kind == libvirt.ConnectListDomainsActive})
			}
		}
		return nil
	})
	return all, err
}
