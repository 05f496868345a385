package guests_test

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wanted are the modules of kernel TLS, and of its ciphers with the processor's
// instructions. A kernel that has one of them built in, or has it no more, does
// without its file; tls must be there.
var wanted = []string{"tls", "gcm", "ctr", "ghash_generic", "ghash_clmulni_intel", "aesni_intel",
	"chacha20poly1305", "chacha", "chacha_generic", "poly1305_generic", "chacha_x86_64", "poly1305_x86_64"}

// module is its file's content, uncompressed.
type module struct {
	name string
	data []byte
}

// modules returns those wanted and what they depend on, each after its own.
func modules(t *testing.T, root string) (list []module) {
	t.Helper()
	files := make(map[string]string)
	filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok {
			files[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if files["tls"] == "" {
		t.Fatalf("no module tls in %s", root)
	}
	done := make(map[string]bool)
	var add func(name string)
	add = func(name string) {
		path := files[name]
		if done[name] || path == "" {
			return
		}
		done[name] = true
		m := module{name, read(t, path)}
		for _, d := range depends(t, m.data) {
			add(d)
		}
		list = append(list, m)
	}
	for _, name := range wanted {
		add(name)
	}
	return list
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	if strings.HasSuffix(path, ".xz") {
		return []byte(command(t, "", "xz", "-dc", path))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// depends are the modules that one names in its section .modinfo.
func depends(t *testing.T, data []byte) []string {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Section(".modinfo").Data()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(line, "depends="); ok && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ",")
		}
	}
	return nil
}
