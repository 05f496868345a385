package main

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/virt-sluice/sluice/proxy/control"
)

// addValues adds those of control.Options whose names begin so.
func addValues(f *pflag.FlagSet, prefix string) {
	for _, o := range control.Options {
		switch {
		case !strings.HasPrefix(o.Name, prefix):
		case o.List:
			f.String(o.Name, "", o.Usage)
		default:
			f.Uint64(o.Name, 0, o.Usage)
		}
	}
}

// values are those of control.Options that were given.
func values(f *pflag.FlagSet) (v control.Values) {
	v.Numbers, v.Lists = make(map[string]uint64), make(map[string][]string)
	for _, o := range control.Options {
		switch {
		case !f.Changed(o.Name):
		case o.List:
			text, _ := f.GetString(o.Name)
			v.Lists[o.Name] = strings.Split(text, ",")
		default:
			v.Numbers[o.Name], _ = f.GetUint64(o.Name)
		}
	}
	return v
}

// description reads the file that a flag names, as the user who calls: the daemon is another.
func description(f *pflag.FlagSet, flag string) (string, error) {
	if !f.Changed(flag) {
		return "", nil
	}
	path, _ := f.GetString(flag)
	b, err := os.ReadFile(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("--%s: %w", flag, err)
	case len(b) == 0:
		return "", fmt.Errorf("--%s: %s is empty", flag, path)
	case !utf8.Valid(b):
		return "", fmt.Errorf("--%s: %s is not in UTF-8, as libvirt writes its descriptions", flag, path)
	}
	return string(b), nil
}
