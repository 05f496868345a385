package roots

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/needs"
)

// packages are what a host of the lab runs, and the programs that its tests do.
var packages = []string{
	"libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-clients",
	"qemu-system-x86", "qemu-utils",
	"iproute2", "procps", "util-linux", "nftables",
	"gnutls-bin", "openssl",
}

// recipe is what mmdebstrap is told, but for where to build.
func recipe(suite string) []string {
	all := packages
	if suite != "bookworm" { // whose QEMU has one of its own
		all = append(slices.Clip(all), "virtiofsd")
	}
	return recipeOf("essential", "dir", all, suite)
}

func recipeOf(variant, format string, packages []string, suite string) []string {
	return []string{
		"--mode=root", "--variant=" + variant, "--format=" + format,
		`--aptopt=APT::Install-Recommends "false"`,
		`--aptopt=Acquire::Retries "3"`,
		// The list of a release that is not out yet may be older than it says it may get.
		`--aptopt=Acquire::Check-Valid-Until "false"`,
		"--dpkgopt=force-unsafe-io",
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
		"--include=" + strings.Join(packages, ","),
		suite,
	}
}

func build(ctx context.Context, suite, part string, lock *os.File) error {
	mirror, err := mirror(ctx)
	if err != nil {
		return err
	}
	return debstrap(ctx, suite, mirror, part, lock, append(recipe(suite), part, mirror)...)
}

// debstrap runs mmdebstrap, to make dir. mmdebstrap inherits the lock: should this process end
// before it, nobody else begins beside it.
func debstrap(ctx context.Context, suite, mirror, dir string, lock *os.File, args ...string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the root of Debian %s is not built yet, which takes root: run `make roots`", suite)
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", append([]string{"--quiet"}, args...)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.ExtraFiles = []*os.File{lock}
	// All that it starts ends with it, and what it mounts is seen by nobody else: a root that is
	// removed has no /dev of the machine's in it.
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		return failed(ctx, suite, mirror, strings.TrimSuffix(dir, ".part"), err, said.String())
	}
	return nil
}

func failed(ctx context.Context, suite, mirror, dir string, err error, said string) error {
	what := "build the root of Debian " + suite
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s: %w: test/install installs it on Debian 12", what, err)
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	lines = lines[max(0, len(lines)-8):]
	return fmt.Errorf("%s from %s: %w\n%s\nDoes this machine reach the mirror? If it can't, copy %s here from one that can; %s=1 leaves the lab out",
		what, mirror, err, strings.Join(lines, "\n"), dir, needs.SkipVariable)
}

// mirror is where this machine's apt gets Debian from.
func mirror(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for its mirror of Debian: %w", err)
	}
	uris := strings.Fields(string(out))
	if len(uris) == 0 {
		return "", errors.New("apt knows no mirror of Debian: name one in /etc/apt/sources.list, and run apt-get update")
	}
	return uris[0], nil
}
