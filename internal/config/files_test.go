package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// written makes a folder of configuration files and returns the path of the first.
func written(t *testing.T, files map[string]string) (main string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "sluice.toml")
}

// What is in several files counts as if it were in one.
func TestFolder(t *testing.T) {
	main := written(t, map[string]string{
		"sluice.toml":            "name = 'left'\n[limits]\nsessions = 3\n[peers.b]\n[[tunnel]]\nlisten = 'unix:/a'\nto = 'unix:/b'\n[intercept]\nport = 17001\n",
		"conf.d/20-c.toml":       "limits.idle_timeout = '5s'\n[peers.c]\naddress = 'c.example.org'\n[peers.c.accept]\nelements = ['devices/hostdev']\n",
		"conf.d/10-more.toml":    "[clients.virsh]\nnames = ['admin']\naccess = 'full'\n[[tunnel]]\nname = 'second'\nlisten = 'unix:/c'\nto = 'unix:/d'\n[intercept]\nports = '50000-50100'\n",
		"conf.d/.hidden.toml":    "broken",
		"conf.d/c.toml.dpkg-old": "broken",
	})
	cfg, err := Load(main)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Peers) != 2 || cfg.Peers["c"].Address != "c.example.org:16514" || cfg.Peers["b"].Address != "b:16514" || cfg.Peers["c"].Accept == nil {
		t.Errorf("peers %+v", cfg.Peers)
	}
	if cfg.Name != "left" || cfg.Limits.Sessions != 3 || cfg.Limits.IdleTimeout.Seconds() != 5 || cfg.Clients["virsh"].Access != AccessFull ||
		cfg.Intercept.Port != 17001 || cfg.Intercept.Ports != "50000-50100" {
		t.Errorf("%+v", cfg)
	}
	if len(cfg.Tunnels) != 2 || cfg.Tunnels[0].Listen != "unix:/a" || cfg.Tunnels[1].Name != "second" {
		t.Errorf("tunnels %+v", cfg.Tunnels)
	}
	dir := filepath.Dir(main)
	if want := []string{main, dir + "/conf.d/10-more.toml", dir + "/conf.d/20-c.toml"}; !slices.Equal(cfg.Files(), want) {
		t.Errorf("files %q, want %q", cfg.Files(), want)
	}
	if now, err := ReadSum(main); err != nil || now != cfg.Sum() {
		t.Errorf("the files have changed: %v", err)
	}
	os.Rename(dir+"/conf.d/10-more.toml", dir+"/conf.d/30-more.toml")
	if now, err := ReadSum(main); err != nil || now == cfg.Sum() {
		t.Errorf("a file that has another name is not noticed: %v", err)
	}
}

// A fault names the file that has it, and of a key that is in two files both.
func TestFolderFaults(t *testing.T) {
	for _, c := range []struct {
		name, main, a, b string
		says             []string // one fault each
	}{
		{"key of a table", "[limits]\nsessions = 1\n", "\n[limits]\nsessions = 2\n", "", []string{"conf.d/a.toml:3: limits.sessions: is in $/sluice.toml:2 already"}},
		{"key however it is written", "limits = {sessions = 1}\n", "Limits.Sessions = 1\n", "", []string{"conf.d/a.toml:1: Limits.Sessions: is in $/sluice.toml:1 already"}},
		{"key at the top", "", "name = 'a'", "name = 'a'", []string{"conf.d/b.toml:1: name: is in $/conf.d/a.toml:1 already"}},
		{"peer", "[peers.b]\naddress = 'b'\n", "", "\n\n[peers.b]\nnames = ['b']\n", []string{"conf.d/b.toml:3: peers.b: is in $/sluice.toml:1 already"}},
		{"clients", "", "[clients.a]\nnames = ['a']\naccess = 'full'", "clients.a = {}", []string{"conf.d/b.toml:1: clients.a: is in $/conf.d/a.toml:1 already"}},
		{"tunnels of one name", "[[tunnel]]\nname = 'a'\nlisten = 'unix:/a'\nto = 'unix:/b'", "[[tunnel]]\nname = 'a'\nlisten = 'unix:/c'\nto = 'unix:/d'", "", []string{"conf.d/a.toml:1: tunnel.1: its name"}},
		{"key of a tunnel", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'unix:/b'", "", "[[tunnel]]\nlisten = 'unix:/c'\nto = 'unix:/d'\nidle_timeout = '1'", []string{"conf.d/b.toml:4: tunnel.1.idle_timeout: "}},
		{"value", "", "[peers.c]\naddress = 'c:0'", "", []string{"conf.d/a.toml:2: peers.c.address: port"}},
		{"several", "nome = 'a'", "[peers.c]\naddress = 1", "[peers", []string{"sluice.toml:1: nome: unknown key", "conf.d/a.toml:2:11: peers.c.address: wrong type", "conf.d/b.toml:1:"}},
		{"name of another's certificate", "[peers.b]", "[peers.c]\nnames = ['b']", "", []string{"conf.d/a.toml:2: peers.c.names: \"b\" already stands for peer \"b\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{"sluice.toml": c.main}
			for name, text := range map[string]string{"conf.d/a.toml": c.a, "conf.d/b.toml": c.b} {
				if text != "" {
					files[name] = text
				}
			}
			main := written(t, files)
			cfg, err := Load(main)
			if err == nil {
				t.Fatalf("taken: %+v", cfg)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.says) {
				t.Fatalf("%d faults: %v", len(lines), err)
			}
			dir := filepath.Dir(main)
			for i, want := range c.says {
				if want = dir + "/" + strings.ReplaceAll(want, "$", dir); !strings.HasPrefix(lines[i], want) {
					t.Errorf("said   %s\nwanted %s", lines[i], want)
				}
			}
		})
	}
}

// A file that others than root can write lets nobody in.
func TestFolderOfOthers(t *testing.T) {
	const text = "[peers.c]\n"
	for _, c := range []struct {
		name  string
		spoil func(file, dir string) error
		says  string
	}{
		{"file of the group", func(file, _ string) error { return os.Chmod(file, 0o664) }, "c.toml: can be written by others than its owner (mode 0664)"},
		{"file of the world", func(file, _ string) error { return os.Chmod(file, 0o646) }, "chmod go-w"},
		{"folder of the world", func(_, dir string) error { return os.Chmod(dir, 0o777) }, "conf.d: can be written"},
		{"no file", func(file, _ string) error { os.Remove(file); return os.Mkdir(file, 0o755) }, "is a directory"},
		{"link to nothing", func(file, _ string) error { os.Remove(file); return os.Symlink("/nowhere", file) }, "no such file"},
		{"file of a user", func(file, _ string) error { return os.Chown(file, 65534, -1) }, "is owned by uid 65534"},
		{"folder of a user", func(_, dir string) error { return os.Chown(dir, 65534, -1) }, "conf.d: is owned by uid 65534"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasSuffix(c.name, "of a user") {
				needs.Root(t, "to give a file away")
			}
			main := written(t, map[string]string{"sluice.toml": "", "conf.d/c.toml": text})
			dir := filepath.Join(filepath.Dir(main), "conf.d")
			if err := c.spoil(filepath.Join(dir, "c.toml"), dir); err != nil {
				t.Fatal(err)
			}
			if cfg, err := Load(main); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("said %v, wanted %q; %+v", err, c.says, cfg)
			}
		})
	}
}
