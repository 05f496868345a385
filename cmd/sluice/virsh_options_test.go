package main

import (
	"os/exec"
	"regexp"
	"slices"
	"testing"
)

// Every option of virsh migrate is taken, or answered with words of its own; none is both.
func TestVirshOptions(t *testing.T) {
	help, err := exec.Command("virsh", "help", "migrate").Output()
	if err != nil {
		t.Fatalf("virsh help migrate: %v (test/install installs virsh)", err)
	}
	options := regexp.MustCompile(`\[--([a-z0-9-]+)`).FindAllStringSubmatch(string(help), -1)
	if len(options) < 40 {
		t.Fatalf("only %d options are found in\n%s", len(options), help)
	}
	flags := newMigrate(streams{}).Flags()
	for _, m := range options {
		if name := m[1]; (flags.Lookup(name) != nil) == (virshOnly(name) != "") {
			t.Errorf("--%s: a flag of sluice migrate: %v; the words for it: %q", name, flags.Lookup(name) != nil, virshOnly(name))
		}
	}
	for name := range virshNeedless {
		if flags.Lookup(name) != nil {
			t.Errorf("--%s is a flag by now: take it out of virshNeedless", name)
		}
	}
	for _, name := range virshAlone {
		if flags.Lookup(name) != nil {
			t.Errorf("--%s is a flag by now: take it out of virshAlone", name)
		}
	}
	if i := slices.IndexFunc(virshAlone, func(name string) bool { return virshNeedless[name] != "" }); i >= 0 {
		t.Errorf("--%s has two answers", virshAlone[i])
	}
}
