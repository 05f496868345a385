package confine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/observer"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// dirVariable makes the test's program one that confines itself and tries what it still can, with
// the folders that TestConfined has made.
const dirVariable = "SLUICE_TEST_CONFINED"

func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "observe") { // as the observer's child
		c, err := observer.Inherited()
		if err == nil {
			err = observer.Serve(c)
		}
		if err != nil {
			panic(err) // a child, which ends by it
		}
		return
	}
	if dir := os.Getenv(dirVariable); dir != "" {
		if err := confined(dir); err != nil {
			fmt.Println(err)
		}
		return
	}
	os.Exit(m.Run())
}

// confined is the daemon's order of things, and then each thing that must and must not work.
func confined(dir string) error {
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := NoDumps(); err != nil {
		return err
	}
	look, err := observer.Start()
	if err != nil {
		return err
	}
	defer look.Close()
	open, err := os.Create(in("outside/open"))
	if err != nil {
		return err
	}
	version, err := Landlock(Files{Read: append(slices.Clone(ofHost), in("certs"), in("missing")), Write: []string{in("run"), "/dev/null"}})
	if err != nil {
		return err
	}
	fmt.Println("version", version)
	held, err := Capabilities([]cap.Value{cap.KILL}, []cap.Value{cap.DAC_READ_SEARCH})
	if err != nil || !slices.Contains(held, cap.DAC_READ_SEARCH) {
		return fmt.Errorf("spare: %v, %v", held, err)
	}
	if _, err := os.ReadFile(in("certs/others")); !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("a spare capability has an effect: %v", err)
	}
	if held, err = Capabilities([]cap.Value{cap.KILL}, nil); err != nil || len(held) != 1 {
		return fmt.Errorf("keep: %v, %v", held, err)
	}

	must := map[string]func() error{
		"read a certificate":    func() error { _, err := os.ReadFile(in("certs/cert.pem")); return err },
		"resolve a name":        func() error { _, err := net.LookupHost("localhost"); return err },
		"read another's status": func() error { _, err := os.ReadFile("/proc/1/stat"); return err },
		"write what is open":    func() error { _, err := open.WriteString("x"); return err },
		"make, move and remove in the run folder": func() error {
			return errors.Join(os.Mkdir(in("run/d"), 0o700), os.WriteFile(in("run/d/f"), nil, 0o600), os.Rename(in("run/d/f"), in("run/d/g")), os.RemoveAll(in("run/d")))
		},
		"listen in the run folder": func() error { l, err := net.Listen("unix", in("run/s")); return close1(l, err) },
		"listen at a port":         func() error { l, err := net.Listen("tcp", "127.0.0.1:0"); return close1(l, err) },
		"connect to any socket":    func() error { c, err := net.Dial("unix", in("outside/s")); return close1(c, err) },
		"look where others' links lead": func() error {
			to, err := look.Resolve(in("theirs/link"))
			if err == nil && to != in("certs/cert.pem") {
				err = fmt.Errorf("it leads to %s", to)
			}
			return err
		},
		"know whose a socket is": func() error { return whose(look) },
	}
	mayNot := map[string]func() error{
		"read elsewhere":          func() error { _, err := os.ReadFile(in("outside/f")); return err },
		"list elsewhere":          func() error { _, err := os.ReadDir(in("outside")); return err },
		"write elsewhere":         func() error { return os.WriteFile(in("outside/f"), nil, 0o600) },
		"write certificates":      func() error { return os.WriteFile(in("certs/cert.pem"), nil, 0o600) },
		"remove elsewhere":        func() error { return os.Remove(in("outside/f")) },
		"listen elsewhere":        func() error { l, err := net.Listen("unix", in("outside/t")); return close1(l, err) },
		"execute":                 func() error { return exec.Command("/proc/self/exe").Run() },
		"look at others' sockets": func() error { _, err := os.Readlink("/proc/1/fd/0"); return err },
		"enter others' folders":   func() error { _, err := os.Stat(in("theirs/link")); return err },
		"give files away":         func() error { return os.Chown(in("run"), 4242, -1) },
		"become another user": func() error {
			return unix.Setresuid(4242, 4242, 4242)
		},
	}
	for what, do := range must {
		if err := do(); err != nil {
			fmt.Printf("cannot %s: %v\n", what, err)
		}
	}
	for what, do := range mayNot {
		if err := do(); !errors.Is(err, os.ErrPermission) {
			fmt.Printf("can %s: %v\n", what, err)
		}
	}
	if Dumpable() {
		fmt.Println("can leave a core dump")
	}
	return nil
}

// whose asks of a socket of this process's parent, which another user's could be.
func whose(look *observer.Observer) error {
	if sees, err := look.Sees(4242); err != nil || !sees {
		return fmt.Errorf("sees: %t, %v", sees, err)
	}
	for inode, want := range map[string]bool{os.Getenv(inodeVariable): true, "1": false} {
		if has, err := look.HasSocket(os.Getppid(), inode); err != nil || has != want {
			return fmt.Errorf("socket %s: %t, %v", inode, has, err)
		}
	}
	return nil
}

const inodeVariable = "SLUICE_TEST_INODE"

func close1(c io.Closer, err error) error {
	if err == nil {
		err = c.Close()
	}
	return err
}

func TestConfined(t *testing.T) {
	needs.Root(t, "for capabilities that can be given up")
	dir := t.TempDir()
	for _, d := range []string{"certs", "run", "outside", "theirs"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"certs/cert.pem", "certs/others", "outside/f"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../certs/cert.pem", filepath.Join(dir, "theirs/link")); err != nil {
		t.Fatal(err)
	}
	for f, mode := range map[string]os.FileMode{"theirs": 0o700, "certs/others": 0o600} {
		if err := errors.Join(os.Chown(filepath.Join(dir, f), 4242, 4242), os.Chmod(filepath.Join(dir, f), mode)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(dir, "outside/s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(fd.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe")
	c.Env = []string{dirVariable + "=" + dir, inodeVariable + "=" + strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")}
	out, err := c.CombinedOutput()
	said := string(out)
	if err != nil || !strings.HasPrefix(said, "version ") || strings.Count(said, "\n") != 1 {
		t.Fatalf("%v: %s", err, said)
	}
	t.Log(said)
}

// What a configuration names is what it may use beyond what every daemon may.
func TestFilesOf(t *testing.T) {
	files := func(text string) Files {
		cfg, err := config.Parse("/etc/sluice/sluice.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return FilesOf(cfg)
	}
	least := files("")
	beyond := func(all, less []string) string {
		return strings.Join(slices.DeleteFunc(all, func(p string) bool { return slices.Contains(less, p) }), " ")
	}
	dir := t.TempDir()
	if err := os.Symlink(dir+"/elsewhere/key.pem", dir+"/key.pem"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(dir+"/elsewhere", 0o700), os.WriteFile(dir+"/elsewhere/key.pem", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	pki := layout.Layout{CA: "CA/cacert.pem", Server: layout.Pair{Cert: "libvirt/servercert.pem", Key: "libvirt/private/serverkey.pem"}}.At(dir + "/pki")
	for _, link := range []string{pki.CA, pki.Server.Cert, pki.Server.Key} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o700), os.Symlink(dir+"/elsewhere/key.pem", link)); err != nil {
			t.Fatal(err)
		}
	}
	const clear = "tls = \"no\"\nrequire_secure = false\n"
	for _, c := range []struct {
		text, read, write string
		execute           bool
	}{
		{"[certificates]\ndir = \"/etc/other\"\nlayout = \"libvirt\"", "", "", false},
		{"[certificates]\ndir = \"/srv/pki\"\nlayout = \"libvirt\"", "/srv/pki", "", false},
		{"[certificates]\nca = \"/srv/a/ca\"\ncert = \"/srv/a/b/cert\"\nkey = \"/srv/c/key\"", "/srv/a /srv/c", "", false},
		{fmt.Sprintf("[certificates]\nca = \"/etc/ca\"\ncert = \"/etc/cert\"\nkey = \"%s/sub/../key.pem\"", dir), dir, "", false},
		{fmt.Sprintf("[certificates]\ndir = \"%s/pki\"\nlayout = \"libvirt\"", dir), dir + "/elsewhere " + dir + "/pki", "", false},
		{"state_dir = \"/srv/state\"", "", "/srv/state", false},
		{"state_dir = \"off\"", "", "", false},
		{clear + "[[tunnel]]\nlisten = \"unix:/run/sluice/tunnels/t\"\nto = \"unix:/srv/theirs/s\"", "", "", false},
		{clear + "[[tunnel]]\nlisten = \"unix:/srv/t\"\nto = \"exec:cat\"", "", "/dev /srv /tmp /var/tmp", true},
	} {
		f := files(c.text)
		if got := beyond(f.Read, least.Read); got != c.read {
			t.Errorf("%s\nreads %q, want %q", c.text, got, c.read)
		}
		if got := beyond(f.Write, least.Write); got != c.write || f.Execute != c.execute {
			t.Errorf("%s\nwrites %q and executes: %t, want %q, %t", c.text, got, f.Execute, c.write, c.execute)
		}
	}
}
