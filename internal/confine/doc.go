// Package confine takes from the daemon what it has no use for: core dumps, capabilities, and by
// Landlock (landlock(7)) all files but those that its configuration makes it need.
//
//	confine.NoDumps()
//	...start what needs the rights that the daemon has been given
//	landlock, err := confine.Landlock(confine.FilesOf(cfg))
//	held, err := confine.Capabilities(keep, nil) // as Needed says
//
// None of it can be taken back. Children inherit all but the first.
package confine
