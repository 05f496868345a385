// Package layout is the table of the places where programs keep a host's certificates. The
// configuration, the search and what makes certificates read it; a new layout is a new row.
package layout

import (
	"path/filepath"
	"slices"
	"strings"
)

// Layout is one program's places. All paths but Dir are below the layout's folder.
type Layout struct {
	Name string
	Dir  string // its usual folder; what begins with ~ is below the user's home
	CA   string
	CRL  string // "" if it has none
	// Server and Client are the places for each role. A layout with one pair for both has it in
	// Server alone.
	Server, Client Pair
	// Indexed is set where the program also reads servercert0.pem, servercert1.pem, …, as newer
	// releases of libvirt do.
	Indexed bool
}

// Pair is where one certificate and its key are.
type Pair struct{ Cert, Key string }

// Names that code uses.
const (
	Libvirt    = "libvirt"
	QEMU       = "qemu"
	CloudStack = "cloudstack"
	User       = "user"
)

// table is in the order of the search.
var table = []Layout{
	{ // as libvirtd has it: docs/kbase/tlscerts.rst
		Name: Libvirt, Dir: "/etc/pki", CA: "CA/cacert.pem", CRL: "CA/cacrl.pem",
		Server:  Pair{"libvirt/servercert.pem", "libvirt/private/serverkey.pem"},
		Client:  Pair{"libvirt/clientcert.pem", "libvirt/private/clientkey.pem"},
		Indexed: true,
	},
	{ // QEMU's tls-creds-x509 folder: docs/system/tls.rst
		Name: QEMU, Dir: "/etc/pki/qemu", CA: "ca-cert.pem", CRL: "ca-crl.pem",
		Server: Pair{"server-cert.pem", "server-key.pem"},
		Client: Pair{"client-cert.pem", "client-key.pem"},
	},
	{ // what the CloudStack agent's CA framework installs
		Name: CloudStack, Dir: "/etc/cloudstack/agent", CA: "cloud.ca.crt",
		Server: Pair{"cloud.crt", "cloud.key"},
	},
	{ // what oVirt's engine enrols a host with
		Name: "ovirt", Dir: "/etc/pki/vdsm", CA: "certs/cacert.pem",
		Server: Pair{"certs/vdsmcert.pem", "keys/vdsmkey.pem"},
	},
	{ // what kolla-ansible copies into its container of libvirtd
		Name: "kolla", Dir: "/etc/kolla/nova-libvirt", CA: "cacert.pem",
		Server: Pair{"servercert.pem", "serverkey.pem"},
		Client: Pair{"clientcert.pem", "clientkey.pem"},
	},
	{ // for a daemon that is not root's
		Name: User, Dir: "~/.pki/libvirt", CA: "cacert.pem", CRL: "cacrl.pem",
		Server:  Pair{"servercert.pem", "serverkey.pem"},
		Client:  Pair{"clientcert.pem", "clientkey.pem"},
		Indexed: true,
	},
}

// All are the layouts in the order in which they are searched.
func All() []Layout { return slices.Clone(table) }

// Names are theirs, in the same order.
func Names() []string {
	var names []string
	for _, l := range table {
		names = append(names, l.Name)
	}
	return names
}

// Named finds the layout of that name.
func Named(name string) (Layout, bool) {
	i := slices.IndexFunc(table, func(l Layout) bool { return l.Name == name })
	if i < 0 {
		return Layout{}, false
	}
	return table[i], true
}

// DirIn is the layout's usual folder below root; "" if that is below a home, and home is "".
func (l Layout) DirIn(root, home string) string {
	dir := l.Dir
	if rest, ok := strings.CutPrefix(dir, "~"); ok {
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, rest)
	}
	return filepath.Join("/", root, dir)
}

// At is the layout with its paths below dir.
func (l Layout) At(dir string) Layout {
	for _, p := range []*string{&l.CA, &l.CRL, &l.Server.Cert, &l.Server.Key, &l.Client.Cert, &l.Client.Key} {
		if *p != "" {
			*p = filepath.Join(dir, *p)
		}
	}
	return l
}
