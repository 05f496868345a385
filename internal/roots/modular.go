package roots

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// buildPackages are what the daemons are built with, beside the libvirt that they are for.
var buildPackages = []string{
	"gcc", "libc6-dev", "meson", "ninja-build", "pkgconf", "xz-utils", "ca-certificates",
	"gettext", "libxml2-utils", "python3", "python3-docutils", "rpcsvc-proto", "xsltproc",
	"libglib2.0-dev", "libgnutls28-dev", "libjson-c-dev", "libtirpc-dev", "libxml2-dev",
}

// modularScript builds the daemons, in a root that has these packages, into the folder /out.
//
//go:embed modular.sh
var modularScript string

// OpenModular is Open of a release's root with libvirt's modular daemons in it: virtqemud,
// virtproxyd and some others, which Debian does not build. They are built from the source of its
// libvirt, for the libraries and drivers that it has; Debian's own libvirtd stays there too. That
// takes some three minutes, and 5 MB beside the release's root.
func OpenModular(ctx context.Context, suite string) (*Root, error) {
	base, err := Open(ctx, suite)
	if err != nil {
		return nil, err
	}
	r, err := openModular(ctx, suite, base)
	if err != nil {
		base.Close()
		return nil, err
	}
	return r, nil
}

func openModular(ctx context.Context, suite string, base *Root) (*Root, error) {
	version, err := libvirtVersion(base.Dir)
	if err != nil {
		return nil, err
	}
	recipe := recipeOf("apt", "null", slices.Concat(packages, buildPackages), suite)
	r, err := open(ctx, "modular-"+suite, slices.Concat(recipe, []string{modularScript, version}), func(part string, lock *os.File) error {
		mirror, err := mirror(ctx)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(part, 0o755); err != nil {
			return err
		}
		script := part + "/build"
		if err := os.WriteFile(script, []byte(modularScript), 0o755); err != nil {
			return err
		}
		hook := fmt.Sprintf(`cp '%s' "$1/build" && chroot "$1" /build '%s' && rm '%[1]s' && cp -a "$1/out/." '%[3]s'`, script, version, part)
		args := slices.Concat([]string{"--customize-hook=" + hook}, recipe,
			[]string{"/dev/null", fmt.Sprintf("deb %s %s main", mirror, suite), fmt.Sprintf("deb-src %s %s main", mirror, suite)})
		return debstrap(ctx, suite+" with modular daemons", mirror, part, lock, args...)
	})
	if err != nil {
		return nil, err
	}
	r.Dir, r.base = r.Dir+string(filepath.ListSeparator)+base.Dir, base
	return r, nil
}

var libvirtRule = regexp.MustCompile(`(?ms)^Package: libvirt-daemon$.*?^Version: ([0-9A-Za-z.+:~-]+)$`)

// libvirtVersion is that of the libvirt in a root, as Debian counts it.
func libvirtVersion(root string) (string, error) {
	status, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return "", err
	}
	found := libvirtRule.FindSubmatch(status)
	if found == nil {
		return "", fmt.Errorf("%s has no libvirt-daemon", root)
	}
	return string(found[1]), nil
}
