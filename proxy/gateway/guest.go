package gateway

import (
	"errors"
	"fmt"

	"github.com/digitalocean/go-libvirt"
	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// guest is the guest that a Prepare is about.
type guest struct {
	name string // at the destination, by which Finish names it
	uuid string
	id   libvirt.UUID // the same
}

// guestOf reads it from a Prepare's parameters.
func guestOf(params libvirtrpc.Params) (g guest, err error) {
	text, is, err := params.Text(libvirtrpc.ParamDestXML)
	if err != nil {
		return g, err
	}
	if !is {
		return g, errors.New("the call has no description of the guest")
	}
	dom, err := domainxml.Read(text)
	if err != nil {
		return g, err
	}
	uuid, err := virt.ParseUUID(dom.UUID)
	if err != nil {
		return g, fmt.Errorf("read the guest's description: %w", err)
	}
	g.id, g.uuid, g.name = uuid, virt.FormatUUID(uuid), dom.Name
	if name, is, err := params.Text(libvirtrpc.ParamDestName); err != nil {
		return g, err
	} else if is {
		g.name = name
	}
	if g.name == "" {
		return g, errors.New("the guest has no name")
	}
	return g, nil
}
