package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/internal/stand"
)

// Stock QEMU in both roles and stock libvirt's client meet sluice with every kind of key, in the
// authority and in their own certificates, by either version of TLS. What GnuTLS's own programs do
// is no proof: they choose their certificate in another way than QEMU and libvirt have it chosen.
func TestKindsOfKeys(t *testing.T) {
	for _, program := range []string{"qemu-img", "qemu-nbd", "virsh", "certtool"} {
		needs.Program(t, program)
	}
	kinds := []pki.Algorithm{pki.RSA, pki.ECDSA, pki.Ed25519}
	for _, of := range kinds {
		ca, err := pki.NewCA(pki.Authority{Algorithm: of})
		if err != nil {
			t.Fatal(err)
		}
		for i, leaf := range kinds {
			for _, version := range []string{"1.2", "1.3"} {
				t.Run(fmt.Sprintf("%s by %s, TLS %s", leaf, of, version), func(t *testing.T) {
					t.Parallel()
					k := &keyStand{Stand: stand.New(t, "sluice"), t: t, priority: "NORMAL:-VERS-ALL:+VERS-TLS" + version}
					here := k.issue(ca, "here", kinds[(i+1)%len(kinds)])
					there := k.issue(ca, "there", leaf)
					k.write("here", pki.LayoutQEMU, ca, here)
					k.write("there", pki.LayoutQEMU, ca, there)
					k.write("pkipath", "user", ca, there)
					// Else QEMU's server makes some, which takes it many seconds.
					k.run("certtool", "--get-dh-params", "--outfile", k.Path("there/dh-params.pem"))
					if err := os.WriteFile(k.Path("disk"), make([]byte, 1<<20), 0o600); err != nil {
						t.Fatal(err)
					}
					k.qemuConnects()
					k.qemuIsConnectedTo()
					k.libvirtConnects()
				})
			}
		}
	}
}

type keyStand struct {
	*stand.Stand
	t        *testing.T
	priority string
}

func (k *keyStand) issue(ca *pki.CA, name string, kind pki.Algorithm) *pki.Pair {
	k.t.Helper()
	p, err := ca.Issue(pki.Host{Names: []string{name}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Algorithm: kind})
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

func (k *keyStand) write(folder, layout string, ca *pki.CA, p *pki.Pair) {
	k.t.Helper()
	if _, err := pki.WriteLayout(k.Path(folder), layout, pki.Set{CA: ca, Server: p, Client: p}); err != nil {
		k.t.Fatal(err)
	}
}

// creds is QEMU's object.
func (k *keyStand) creds(endpoint string) string {
	return fmt.Sprintf("tls-creds-x509,id=tls0,dir=%s,endpoint=%s,verify-peer=yes,priority=%s", k.Path("there"), endpoint, k.priority)
}

// run runs a program to its end.
func (k *keyStand) run(name string, args ...string) string {
	k.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		k.t.Errorf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// nbd is a qemu-nbd that listens already.
func (k *keyStand) nbd(l interface{ File() (*os.File, error) }, args ...string) {
	k.t.Helper()
	f, err := l.File()
	if err != nil {
		k.t.Fatal(err)
	}
	defer f.Close()
	script := `LISTEN_FDS=1 LISTEN_PID=$$ exec qemu-nbd "$@"`
	p := k.Program("sh", append([]string{"-c", script, "sh", "--persistent", "--read-only", "--format", "raw", "--export-name", "e"}, append(args, k.Path("disk"))...)...)
	p.ExtraFiles = []*os.File{f}
	k.Run(p)
}

func (k *keyStand) qemuConnects() {
	k.t.Helper()
	l, err := net.Listen("unix", k.Path("nbd.sock"))
	if err != nil {
		k.t.Fatal(err)
	}
	k.nbd(l.(*net.UnixListener))
	_, at := k.Tunnel("here", "--listen", "tls:127.0.0.1:0", "--allow", "there", "--starttls", "nbd", "--close-notify", "optional", "--priority", k.priority, "--to", "unix:"+k.Path("nbd.sock"))
	_, port, _ := net.SplitHostPort(at)
	k.run("qemu-img", "info", "--object", k.creds("client"), "--image-opts", "driver=nbd,host=127.0.0.1,port="+port+",export=e,tls-creds=tls0,tls-hostname=here")
}

func (k *keyStand) qemuIsConnectedTo() {
	k.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		k.t.Fatal(err)
	}
	k.nbd(l.(*net.TCPListener), "--object", k.creds("server"), "--tls-creds", "tls0")
	k.Tunnel("here", "--listen", "unix:"+k.Path("in.sock"), "--to", "tls:"+l.Addr().String(), "--tls-name", "there", "--starttls", "nbd", "--close-notify", "optional", "--priority", k.priority)
	k.run("qemu-img", "info", "nbd+unix:///e?socket="+k.Path("in.sock"))
}

// libvirtConnects has virsh come in by the daemon's port. There is no libvirtd
// behind it: that this is what it is told shows that it has been let in.
func (k *keyStand) libvirtConnects() {
	k.t.Helper()
	text := fmt.Sprintf("name = 'here'\nlisten = '127.0.0.1:0'\nrun_dir = '%[1]s/run'\nqemu_user = '%[2]d'\nlibvirt_socket = '%[1]s/none'\npriority = '%[3]s'\n[certificates]\ndir = '%[1]s/here'\nlayout = 'qemu'\n[clients.there]\nnames = ['there']\naccess = 'read-only'\n",
		k.Dir, os.Getuid(), k.priority)
	if err := os.WriteFile(k.Path("sluice.toml"), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	daemon := k.Start(k.Sluice, "serve", "--config", k.Path("sluice.toml"))
	_, after, _ := strings.Cut(daemon.Await(`"ready"`), `"listen":"`)
	at, _, _ := strings.Cut(after, `"`)
	out, _ := exec.Command("virsh", "-c", "qemu+tls://"+at+"/system?pkipath="+k.Path("pkipath"), "list").CombinedOutput()
	if !strings.Contains(string(out), "sluice: ") || !strings.Contains(string(out), "libvirt") || strings.Contains(string(out), "denied") {
		k.t.Errorf("virsh says %s", out)
	}
}
