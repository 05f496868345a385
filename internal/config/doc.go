// Package config reads the daemon's configuration: a TOML file and those in the folder conf.d beside
// it, taken strictly.
//
//	cfg, err := config.Load("/etc/sluice/sluice.toml")
//
// Load answers with a Config in which every value is checked and every default filled in, or with
// every fault it found: each names the file, the line, the key, what is wrong and what to do. An
// unknown key is a fault, so that a misspelt limit is not silently without effect.
//
// The package opens nothing but the files, the user database and GnuTLS's system file. Whether
// certificates are usable is for package tlsconf to say, whether libvirt answers for package proxy.
package config
