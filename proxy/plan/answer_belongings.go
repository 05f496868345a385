package plan

import (
	"context"
	"net"
	"slices"

	"github.com/virt-sluice/sluice/proxy/virt"
)

func (a *answering) networks(ctx context.Context) {
	const network = "network"
	here := a.Config.Name
	if a.refuses("devices/interface") {
		a.Unknown(network, "whether %s has the guest's networks and bridges, since it does not accept all of its interfaces", here)
		return
	}
	for _, name := range looked(a, network, a.needs.Networks) {
		switch has, active, err := a.Libvirt.NetworkActive(ctx, name); {
		case err != nil:
			a.Unknown(network, "whether %s has the network %s: %s", here, name, virt.Words("looking for it", err))
		case !has:
			a.Fail(network, "no-network", "define and start it there (virsh net-define, net-start), or give the guest another by --xml", "%s has no network %s", here, name)
		case !active:
			a.Fail(network, "inactive-network", "start it there (virsh net-start "+virt.InShell(name)+")", "the network %s is not active on %s", name, here)
		default:
			a.OK(network, "%s has the network %s", here, name)
		}
	}
	for _, of := range looked(a, network, a.needs.Others) {
		a.Unknown(network, "what %s has for an interface of type %s", here, of)
	}
	links := looked(a, network, a.needs.Links)
	if len(links) == 0 {
		return
	}
	all, err := net.Interfaces()
	for _, name := range links {
		switch {
		case err != nil:
			a.Unknown(network, "whether %s has the bridge or interface %s: %v", here, name, err)
		case !slices.ContainsFunc(all, func(i net.Interface) bool { return i.Name == name }):
			a.Fail(network, "no-bridge", "make it there, with the same name (ip link), or give the guest another by --xml", "%s has no bridge or interface %s", here, name)
		default:
			a.OK(network, "%s has the interface %s", here, name)
		}
	}
}

func (a *answering) secrets(ctx context.Context) {
	const secret = "secret"
	here := a.Config.Name
	if len(a.needs.Secrets) > 0 && (a.refuses("devices/disk") || a.refuses("devices/tpm")) {
		a.Unknown(secret, "whether libvirt on %s has the guest's secrets, since it does not accept all of its disks", here)
		return
	}
	for _, s := range looked(a, secret, a.needs.Secrets) {
		is := s.UUID
		if is == "" {
			is = s.Type + " " + s.Usage
		}
		switch has, err := a.Libvirt.HasSecret(ctx, s.UUID, s.Type, s.Usage); {
		case err != nil:
			a.Unknown(secret, "whether libvirt on %s has the secret %s: %s", here, is, virt.Words("looking for it", err))
		case !has:
			a.Fail(secret, "no-secret", "define it there and set its value (virsh secret-define, secret-set-value)", "libvirt on %s does not have the secret %s, which a disk or TPM of the guest needs", here, is)
		default:
			a.OK(secret, "libvirt on %s has the secret %s; whether its value is set it does not tell", here, is)
		}
	}
}

// maxLooks is how many networks, interfaces and secrets of each kind are looked for.
const maxLooks = 32

// looked are those of a list that are looked for, each once. That there are more is told.
func looked[T comparable](a *answering, check string, all []T) (some []T) {
	for _, one := range all {
		switch {
		case slices.Contains(some, one):
		case len(some) == maxLooks:
			a.Unknown(check, "what %s has of all that follow the first %d: no answer tells of so many", a.Config.Name, maxLooks)
			return some
		default:
			some = append(some, one)
		}
	}
	return some
}
