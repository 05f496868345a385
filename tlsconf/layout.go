package tlsconf

import "path/filepath"

// pair is where a layout has one certificate and its key.
type pair struct{ cert, key string }

// layout is a set of places. server and client hold the places for each role;
// a layout with one pair for both has it in server alone.
type layout struct {
	name   string
	ca     string
	crl    string
	server pair
	client pair
	// indexed is set where the program also reads servercert0.pem, servercert1.pem, …, as newer releases of libvirt do.
	indexed bool
}

// Names of the layouts, as Search.Layout and Found.Layout have them.
const (
	LayoutLibvirt    = "libvirt"    // /etc/pki, as libvirtd has it: docs/kbase/tlscerts.rst
	LayoutQEMU       = "qemu"       // QEMU's tls-creds-x509 folder: docs/system/tls.rst
	LayoutCloudStack = "cloudstack" // what the CloudStack agent's CA framework installs
	LayoutUser       = "user"       // ~/.pki/libvirt, for a daemon that is not root's
)

// order is the order of the search.
var order = []string{LayoutLibvirt, LayoutQEMU, LayoutCloudStack, LayoutUser}

// defaultDir is the folder of a layout, below the root; home is the user's home folder.
func defaultDir(name, home string) string {
	switch name {
	case LayoutLibvirt:
		return "/etc/pki"
	case LayoutQEMU:
		return "/etc/pki/qemu"
	case LayoutCloudStack:
		return "/etc/cloudstack/agent"
	case LayoutUser:
		if home == "" {
			return ""
		}
		return filepath.Join(home, ".pki/libvirt")
	}
	return ""
}

// layoutIn gives the places of the named layout in dir.
func layoutIn(name, dir string) layout {
	at := func(p string) string { return filepath.Join(dir, p) }
	switch name {
	case LayoutLibvirt:
		return layout{
			name: name, ca: at("CA/cacert.pem"), crl: at("CA/cacrl.pem"),
			server:  pair{at("libvirt/servercert.pem"), at("libvirt/private/serverkey.pem")},
			client:  pair{at("libvirt/clientcert.pem"), at("libvirt/private/clientkey.pem")},
			indexed: true,
		}
	case LayoutQEMU:
		return layout{
			name: name, ca: at("ca-cert.pem"), crl: at("ca-crl.pem"),
			server: pair{at("server-cert.pem"), at("server-key.pem")},
			client: pair{at("client-cert.pem"), at("client-key.pem")},
		}
	case LayoutCloudStack:
		return layout{name: name, ca: at("cloud.ca.crt"), server: pair{at("cloud.crt"), at("cloud.key")}}
	case LayoutUser:
		return layout{
			name: name, ca: at("cacert.pem"), crl: at("cacrl.pem"),
			server:  pair{at("servercert.pem"), at("serverkey.pem")},
			client:  pair{at("clientcert.pem"), at("clientkey.pem")},
			indexed: true,
		}
	}
	return layout{}
}
