// Package pki is a small certificate authority: enough to give the hosts of a
// lab or a small site the certificates that libvirt, QEMU and sluice accept,
// in the folders where those programs look for them.
//
//	ca, err := pki.NewCA(pki.Authority{Name: "lab CA"})
//	host, err := ca.Issue(pki.Host{Names: []string{"host-a.example.org"}})
//	files, err := pki.WriteLayout("out/host-a", pki.LayoutLibvirt, pki.Set{CA: ca, Server: host, Client: host})
//
// It keeps no register of what it issued, renews nothing and answers no requests over a network; a
// site that needs those has a CA already. Everything about a certificate can be set, wrong values
// included, because the tests of this project are its other user.
package pki
