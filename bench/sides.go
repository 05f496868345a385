package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"slices"
)

// hereToo has the sink in this process. stop ends it.
func (r *run) hereToo() (stop func(), err error) {
	dir, err := os.MkdirTemp(r.dir, "far")
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	f := &Far{opts: r.opts, launcher: r.launcher, dir: dir}
	r.far = rpc.NewClient(near)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.serve(far)
	}()
	return func() {
		r.far.Close()
		<-ended
		f.Close(None{}, nil)
	}, nil
}

// elsewhere has the sink where a command leads, and leaves of the contenders
// those that are there as well.
func (r *run) elsewhere(ctx context.Context, rep *Report, there *[]contender) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, r.opts.FarCommand[0], r.opts.FarCommand[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the far side: %w", err)
	}
	r.far = rpc.NewClient(stdio{out, in})
	stop = func() {
		r.far.Close()
		cmd.Wait()
	}
	var hello FarHello
	err = r.far.Call("Far.Hello", None{}, &hello)
	if err == nil && hello.Network == "" { // cat, or a shell's echo
		err = errors.New("it sends back what it gets")
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("the far side, %q, does not answer as sluice bench far: %w", r.opts.FarCommand, err)
	}
	rep.Far = &hello.Machine
	*there = slices.DeleteFunc(*there, func(c contender) bool {
		missing := !slices.Contains(hello.There, c.name)
		if missing {
			rep.Missing = append(rep.Missing, c.name+" (there)")
		}
		return missing
	})
	return stop, nil
}

// stdio is what a command reads and writes, as one connection.
type stdio struct {
	io.Reader
	io.WriteCloser
}
