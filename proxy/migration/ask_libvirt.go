package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/converge"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// Asked is what libvirt here says to a migration that is not made.
type Asked struct {
	Peer  *peer.Peer
	Clear bool       // data would go without TLS
	Virt  *virt.Conn // the caller's to close
	Guest libvirt.Domain
	Flags libvirt.DomainMigrateFlags
	State virt.State
	Goal  *converge.Goal // nil: it has none
	// Name and Description are those that the guest would come with to the destination.
	Name, Description string

	// Refused is why libvirt does not migrate the guest at all, and Unsafe why it does not without
	// --unsafe. Where the first is set the second is not known.
	Refused, Unsafe error

	// Make are the disks that are to be made, by their targets, and NotMade is why none can be.
	Make    map[string]arrival.CreateDisk
	NotMade error

	migration *outgoing
}

// AskLibvirt has libvirt begin a migration, and no more: without VIR_MIGRATE_CHANGE_PROTECTION Begin
// keeps no job (qemuMigrationSrcBegin), so nothing is left of it. An error is of a request that can't
// be begun at all, as Migrate's is.
func AskLibvirt(ctx context.Context, d *host.Host, req *control.MigrateRequest) (*Asked, error) {
	m := &outgoing{host: d, req: req}
	clear, err := m.aim()
	if err != nil {
		return nil, err
	}
	if err := m.findGuest(ctx); err != nil {
		return nil, err
	}
	a := &Asked{migration: m, Peer: m.peer, Clear: clear, Virt: m.virt, Guest: m.dom, Flags: m.flags, Goal: m.goal, Name: m.nameThere()}
	// libvirt itself waits for as long where another call keeps the guest.
	ctx, stop := context.WithTimeoutCause(ctx, virt.LazyTimeout, fmt.Errorf("no answer within %v: it hangs", virt.LazyTimeout))
	defer stop()
	if err := m.ask(ctx, a); err != nil {
		m.virt.Close()
		return nil, err
	}
	return a, nil
}

func (m *outgoing) ask(ctx context.Context, a *Asked) (err error) {
	if a.State, err = m.virt.State(ctx, m.dom.UUID); err != nil {
		return err
	}
	var under bool
	err = m.virt.Bound(ctx, func() (err error) {
		_, under, err = m.virt.JobStats(m.dom, 0)
		return err
	})
	if err != nil && !m.req.Offline { // of a guest that does not run
		return err
	}
	const nowhere = "unix:///nowhere" // Begin does not look
	params := arrival.Params(a.Name, arrival.Where{Memory: nowhere, Disks: nowhere}, m.req.Bandwidth, m.req.ParallelConnections, m.req.Values)
	if m.req.XML != "" {
		params = append(params, arrival.ParamString(libvirt.MigrateParamDestXML, m.req.XML))
	}
	begin := func(flags libvirt.DomainMigrateFlags) error {
		return m.virt.Bound(ctx, func() error {
			_, xml, err := m.virt.DomainMigrateBegin3Params(m.dom, slices.Clone(params), uint32(flags&^libvirt.MigrateChangeProtection))
			if err == nil {
				a.Description = xml
			}
			return err
		})
	}
	if under { // for whose end libvirt would wait
		a.Refused = errors.New("another job of the guest is under way: wait for it to end, or end it (virsh domjobinfo, virsh domjobabort)")
	} else {
		a.Refused = begin(m.flags | libvirt.MigrateUnsafe)
	}
	if a.Refused == nil {
		a.Unsafe = begin(m.flags)
	}
	if a.Description == "" {
		err = m.virt.Bound(ctx, func() error {
			a.Description, err = m.virt.DomainGetXMLDesc(m.dom, libvirt.DomainXMLMigratable)
			return err
		})
	}
	if err == nil {
		a.Make, _, a.NotMade = m.disksToMake(ctx, a.Description)
	}
	return err
}

// WithoutSluice says why the guest can't go to a host that has no sluice.
func (a *Asked) WithoutSluice(ctx context.Context) error {
	m := a.migration
	m.withoutPostcopy()
	_, err := m.mayGoWithoutSluice(ctx, &peer.NoSluiceError{Cause: &stream.Cause{Text: m.peer.Name + " has no sluice"}})
	if err == nil && m.req.CreateDisks {
		return m.makesNone()
	}
	return err
}

// Live is the guest's description as it runs now, with the CPU that it has got.
func (a *Asked) Live(ctx context.Context) (description string, err error) {
	err = a.Virt.Bound(ctx, func() error {
		description, err = a.Virt.DomainGetXMLDesc(a.Guest, 0)
		return err
	})
	return description, err
}
