package main

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/virt-sluice/sluice/internal/lab"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lab": main})
}

func TestScripts(t *testing.T) {
	lab.Require(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			// A name of its own for each run, and a lab that a failed script leaves goes down all
			// the same.
			name := "script-" + strings.ToLower(rand.Text()[:8])
			env.Setenv("LAB", name)
			env.Defer(func() {
				if l, _ := lab.Attach(name); l != nil {
					l.Down()
				}
			})
			return nil
		},
	})
}
