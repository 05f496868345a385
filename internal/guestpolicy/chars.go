package guestpolicy

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// pty are the paths of pseudo terminals, which libvirt overlooks: each guest gets new ones.
var pty = regexp.MustCompile(`^/dev/pts/[0-9]+$`)

// char judges what a console, serial port or channel is connected to.
func (j *judge) char(e *element) {
	if t := e.attr("type", "pty"); !lists(j.policy.accept.CharTypes, t) {
		j.refuse(e.path+"@type", t, "char_types", t, "character devices of this type are not accepted")
	}
}

// charPath judges the path in the source of a character device, or of an interface that is a
// socket. Without a mode, libvirt has QEMU connect.
func (j *judge) charPath(e *element, v string) {
	var of, mode string
	if e.parent != nil {
		of, mode = e.parent.attr("type", "pty"), e.attr("mode", "")
	}
	switch {
	case of == "pty" && pty.MatchString(v):
	case of == "unix" && mode != "bind", of == "vhostuser" && mode != "server":
		j.pattern(e.path, v, "char_connect", j.policy.accept.CharConnect, "it is no socket that guests may connect to")
	default:
		j.charFile(e, v)
	}
}

func (j *judge) charFile(e *element, v string) {
	j.pattern(e.path, v, "char_files", j.policy.accept.CharFiles, "it is no file or socket for guests' character devices")
}

func (j *judge) ptyPath(e *element, v string) {
	if !pty.MatchString(v) {
		j.refuse(e.path, v, "elements", e.path, "it is no pseudo terminal")
	}
}

// pattern judges a path by patterns. What * stands for may not be a symbolic link: libvirt's
// virtlogd writes to such files as root.
func (j *judge) pattern(where, v, key string, patterns []string, why string) {
	if !matches(patterns, v) {
		j.refuse(where, v, key, v, "%s", why)
		return
	}
	for p := v; p != "/" && (p == v || matches(upTo(patterns, p), p)); p = path.Dir(p) {
		if st, err := os.Lstat(p); err == nil && st.Mode().Type() == fs.ModeSymlink {
			j.refuse(where, v, "", "", "%s is a symbolic link", p)
			return
		}
	}
}

// upTo are the patterns with * for as many parts as p has.
func upTo(patterns []string, p string) (up []string) {
	depth := strings.Count(p, "/")
	for _, pattern := range patterns {
		parts := strings.Split(pattern, "/")
		if len(parts) > depth && strings.ContainsAny(parts[depth], "*?[") {
			up = append(up, strings.Join(parts[:depth+1], "/"))
		}
	}
	return up
}

func matches(patterns []string, v string) bool {
	return clean(v) && slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(real(p), real(v))
		return ok
	})
}
