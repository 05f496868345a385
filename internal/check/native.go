package check

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/tlsconf"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// Where libvirt has its settings for QEMU, and where it looks for certificates
// of QEMU's own TLS unless those say (virQEMUDriverConfigSetDefaults).
const (
	qemuConf      = "/etc/libvirt/qemu.conf"
	migrateTLSDir = "/etc/pki/libvirt-migrate"
	defaultTLSDir = "/etc/pki/qemu"
)

// Native looks whether QEMU on this host could do TLS by itself.
func Native() control.NativeTLS {
	dir, err := nativeDir(qemuConf, migrateTLSDir)
	n := control.NativeTLS{Dir: dir}
	if err != nil {
		n.Text = err.Error()
		return n
	}
	found, err := tlsconf.Find(tlsconf.Search{Dir: dir, Layout: layout.QEMU})
	var none *tlsconf.NotFoundError
	switch {
	case errors.As(err, &none) && len(none.Looked) > 0:
		n.Text = fmt.Sprintf("no certificates in %s: %s", dir, strings.Join(none.Looked[0].Missing, ", "))
		return n
	case err != nil:
		n.Text = err.Error()
		return n
	}
	// QEMU looks at the key usage as libvirt did before 11.6.
	for _, f := range tlsconf.Check(found, tlsconf.Others{Libvirt: "before 11.6"}) {
		if f.Severity == tlsconf.Error {
			n.Text = fmt.Sprintf("%s: %s", f.File, f.Problem)
			return n
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "server-cert.pem")); err != nil { // Find lets a role borrow the other's; QEMU does not
		n.Text = fmt.Sprintf("no server-cert.pem in %s, so no guest can come by it", dir)
		return n
	}
	n.Ready, n.Text = true, "certificates in "+dir
	if _, err := os.Stat(filepath.Join(dir, "client-cert.pem")); err != nil {
		n.Text += "; no client-cert.pem, so guests can come by it, but not go"
	}
	return n
}

// LibvirtSettings are those of one of libvirt's configuration files that are texts; none where there
// is no file.
func LibvirtSettings(path string) (map[string]string, error) {
	set := map[string]string{}
	f, err := os.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return set, nil
	case err != nil:
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, is := strings.Cut(lines.Text(), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if _, again := set[key]; is && !again && len(value) > 1 && (value[0] == '"' || value[0] == '\'') {
			if end := strings.IndexByte(value[1:], value[0]); end >= 0 {
				set[key] = value[1 : 1+end]
			}
		}
	}
	return set, lines.Err()
}

// nativeDir is migrate_tls_x509_cert_dir, or what libvirt takes in its place.
func nativeDir(conf, ofMigration string) (string, error) {
	set, err := LibvirtSettings(conf)
	if err != nil {
		return "", fmt.Errorf("libvirt's settings for QEMU: %w", err)
	}
	if dir := set["migrate_tls_x509_cert_dir"]; dir != "" {
		return dir, nil
	}
	if _, err := os.Stat(ofMigration); err == nil {
		return ofMigration, nil
	}
	if dir := set["default_tls_x509_cert_dir"]; dir != "" {
		return dir, nil
	}
	return defaultTLSDir, nil
}

// native tells of it, and nothing depends on it but migrations with hosts that have no sluice.
func (h *Host) native(l *control.Findings) {
	n := Native()
	if n.Ready {
		l.OK("native TLS", "QEMU here has its own TLS, for hosts without a sluice: %s", n.Text)
		return
	}
	l.OK("native TLS", "QEMU here has no TLS of its own, which only hosts without a sluice would use: %s", n.Text)
}
