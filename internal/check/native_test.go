package check

import (
	"os"
	"path/filepath"
	"testing"
)

// Which folder libvirt takes, by its own settings as they are written.
func TestNativeDir(t *testing.T) {
	for _, c := range []struct{ name, conf, want string }{
		{"set", "migrate_tls_x509_cert_dir = \"/a\"\n", "/a"},
		{"spaces and a comment", "# migrate_tls_x509_cert_dir = \"/no\"\n  migrate_tls_x509_cert_dir=  '/a' # here\n", "/a"},
		{"the first counts", "migrate_tls_x509_cert_dir = \"/a\"\nmigrate_tls_x509_cert_dir = \"/b\"\n", "/a"},
		{"before the default", "default_tls_x509_cert_dir = \"/d\"\nmigrate_tls_x509_cert_dir = \"/a\"\n", "/a"},
		{"the default", "default_tls_x509_cert_dir = \"/d\"\n", "/d"},
		{"another key", "migrate_tls_x509_cert_dir_of_old = \"/no\"\nmigrate_tls_force = 1\n", defaultTLSDir},
		{"no value", "migrate_tls_x509_cert_dir = \"\"\n", defaultTLSDir},
		{"cut off", "migrate_tls_x509_cert_dir = \"/a", defaultTLSDir},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "qemu.conf")
			if err := os.WriteFile(file, []byte(c.conf), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := nativeDir(file, t.TempDir()+"/none"); err != nil || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
	own := t.TempDir()
	if got, err := nativeDir(filepath.Join(own, "no.conf"), own); err != nil || got != own {
		t.Errorf("without settings: %q, %v", got, err)
	}
	if _, err := nativeDir(own, own); err == nil {
		t.Error("a folder was read as settings")
	}
}
