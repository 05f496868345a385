package virt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// The headers are those that qemu-img writes.
func TestReadQcow2(t *testing.T) {
	needs.Program(t, "qemu-img")
	long := "/" + strings.Repeat("a", 1022)
	for name, c := range map[string]struct {
		args         []string
		path, format string
		err          error
	}{
		"alone":       {nil, "", "", nil},
		"version 2":   {[]string{"-o", "compat=0.10"}, "", "", nil},
		"on raw":      {[]string{"-u", "-b", "/etc/shadow", "-F", "raw"}, "/etc/shadow", "raw", nil},
		"on qcow2":    {[]string{"-u", "-b", "base", "-F", "qcow2", "-o", "compat=0.10"}, "base", "qcow2", nil},
		"a long path": {[]string{"-u", "-b", long, "-F", "raw"}, long, "raw", nil},
		"data file":   {[]string{"-o", "data_file=data"}, "", "", errDataFile},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			t.Chdir(folder)
			needs.Run(t, "", "qemu-img", append(append([]string{"create", "-q", "-f", "qcow2"}, c.args...), "image", "1M")...)
			image, err := os.ReadFile(filepath.Join(folder, "image"))
			if err != nil {
				t.Fatal(err)
			}
			head := image[:min(len(image), Qcow2Head)]
			path, format, err := ReadQcow2(head)
			if path != c.path || format != c.format || !errors.Is(err, c.err) {
				t.Errorf("%q, %q, %v", path, format, err)
			}
			for n := range 104 {
				if _, _, err := ReadQcow2(head[:n]); err == nil {
					t.Errorf("%d bytes pass", n)
				}
			}
		})
	}
	if _, _, err := ReadQcow2(make([]byte, Qcow2Head)); !errors.Is(err, errNotQcow2) {
		t.Error(err)
	}
}

func FuzzReadQcow2(f *testing.F) {
	head := make([]byte, 200)
	copy(head, "QFI\xfb\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x90\x00\x00\x00\x04")
	head[103] = 104
	copy(head[104:], "\xe2\x79\x2a\xca\x00\x00\x00\x03raw")
	copy(head[0x90:], "/a/b")
	f.Add(head)
	f.Fuzz(func(t *testing.T, head []byte) {
		path, format, err := ReadQcow2(head)
		if err != nil && path+format != "" || path == "" && format != "" || len(path) > 1023 {
			t.Errorf("%q, %q, %v", path, format, err)
		}
	})
}
