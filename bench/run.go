package bench

import (
	"context"
	"fmt"
	"net/rpc"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/gcm"
)

// run is a benchmark at work.
type run struct {
	opts     Options
	dir      string
	certs    string
	launcher *launcher
	far      *rpc.Client
	openssl  string // its path, or nothing
}

// Report is what a run has measured.
type Report struct {
	Date     string    `json:"date"`
	Machine  Machine   `json:"machine"`
	Far      *Machine  `json:"far_machine,omitempty"` // the sink's, if that is another
	Network  string    `json:"network"`
	Size     int64     `json:"size_bytes"`
	Rounds   int       `json:"rounds"`
	Pings    int       `json:"pings"`
	Entrants []Entrant `json:"contenders"`
	Missing  []string  `json:"missing,omitempty"` // not installed
	Tables   []Table   `json:"works"`
	Choice   string    `json:"aes_of_sluice"`          // which, and why
	OpenSSL  string    `json:"openssl,omitempty"`      // the version that is measured
	AES      []AES     `json:"aes_cpu_seconds_per_gb"` // by round
	Samples  []Sample  `json:"samples"`
}

// Entrant is a contender that took part.
type Entrant struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	Settings string `json:"settings"`
}

// Run measures. It returns what it has when ctx ends before it is through, with the error.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if !o.Busy {
		if err := CheckQuiet(ctx); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &run{opts: o, dir: dir, certs: filepath.Join(dir, "certs"), openssl: o.newest("openssl")}
	if err := makeCerts(r.certs); err != nil {
		return nil, err
	}
	there, missing := o.installed()
	rep := &Report{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: ThisMachine(),
		Size: o.Size, Rounds: o.Rounds, Pings: o.Pings, Missing: missing,
		Choice: gcm.Chosen().String(),
	}
	if r.openssl != "" {
		rep.OpenSSL, _, _ = strings.Cut(versionOf(r.openssl, "version"), " (") // what follows is its library's
	} else {
		rep.Missing = append(rep.Missing, "openssl (for the limit)")
	}
	r.launcher = newLauncher(len(o.FarCommand) == 0)
	defer r.launcher.close()
	rep.Network = r.launcher.where
	var stop func()
	if len(o.FarCommand) == 0 {
		stop, err = r.hereToo()
	} else {
		stop, err = r.elsewhere(ctx, rep, &there)
	}
	if err != nil {
		return nil, err
	}
	defer stop()
	for _, c := range there {
		rep.Entrants = append(rep.Entrants, Entrant{c.name, c.versionOf(), c.settings})
	}
	err = r.rounds(ctx, there, rep)
	rep.summarise(r.opts.works(), there)
	return rep, err
}

func (r *run) rounds(ctx context.Context, there []contender, rep *Report) error {
	for round := range r.opts.Rounds {
		r.tell("round %d of %d: AES alone", round+1, r.opts.Rounds)
		cost, err := r.aes(ctx)
		if err != nil {
			return err
		}
		rep.AES = append(rep.AES, cost)
		for _, w := range r.opts.works() {
			for i := range there {
				// Another one begins each round.
				c := there[(round+i)%len(there)]
				if err := ctx.Err(); err != nil {
					return context.Cause(ctx)
				}
				r.tell("round %d of %d, %s: %s", round+1, r.opts.Rounds, w.title, c.name)
				s := r.measure(ctx, c, w, round+1)
				if ctx.Err() != nil {
					return context.Cause(ctx) // and a sample that was broken off is none
				}
				if s.Error != "" {
					r.tell("%s, %s: %s", w.title, c.name, s.Error)
				}
				rep.Samples = append(rep.Samples, s)
			}
		}
	}
	return nil
}

func (r *run) tell(format string, args ...any) {
	if r.opts.Progress != nil {
		r.opts.Progress(fmt.Sprintf(format, args...))
	}
}
