package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/virt-sluice/sluice/proxy/control"
)

// migrateOptions are the flags of sluice migrate.
type migrateOptions struct {
	copyAll, copyInc           bool
	createDisks                bool
	persistent, undefineSource bool
	live, offline              bool
	postCopy, afterPreCopy     bool
	resume                     bool
	parallel                   bool
	connections                int
	bandwidth                  uint64
	timeout                    int
	timeoutSuspend, timeoutPC  bool
	autoConverge, unsafe       bool
	suspend, abortOnError      bool
	compressed, synchronous    bool
	dname, xml, persistentXML  string
	tls                        string
	auto                       bool
	maxDowntime, deadline      string
	allow                      []string

	dryRun bool
	json   bool
	socket string
}

// defaultConnections is what QEMU takes for --parallel without a number
// (multifd-channels in qapi/migration.json).
const defaultConnections = 2

func (o *migrateOptions) add(f *pflag.FlagSet) {
	f.SortFlags = false
	f.BoolVar(&o.copyAll, "copy-storage-all", false, "copy the guest's disks whole; the destination needs files of the same size, or --create-disks")
	f.BoolVar(&o.copyInc, "copy-storage-inc", false, "copy what the disks have beyond their backing files; those are at the destination already")
	f.BoolVar(&o.createDisks, "create-disks", false, "make the destination's files that are missing; a migration that fails removes them")
	f.BoolVar(&o.synchronous, "copy-storage-synchronous-writes", false, "have each write of the guest's wait until the destination has it, so that the copy of a busy disk ends")
	addValues(f, "migrate-disks")
	f.BoolVar(&o.persistent, "persistent", false, "define the guest at the destination")
	f.BoolVar(&o.undefineSource, "undefinesource", false, "undefine the guest at the source once it has moved")
	f.StringVar(&o.dname, "dname", "", "`NAME` of the guest at the destination, if it is to be another")
	f.StringVar(&o.xml, "xml", "", "`FILE` with the description to run by at the destination, where paths and the like differ there (begin with virsh dumpxml --migratable)")
	f.StringVar(&o.persistentXML, "persistent-xml", "", "`FILE` with the description to be defined by at the destination; needs --persistent")
	f.BoolVar(&o.suspend, "suspend", false, "leave the guest paused at the destination")
	f.BoolVar(&o.offline, "offline", false, "move the definition alone, of a guest that runs or not; needs --persistent")
	f.BoolVar(&o.postCopy, "postcopy", false, "run the guest there after one pass over memory; it fetches the rest as it needs it, and if the link breaks then, it waits to be resumed")
	f.BoolVar(&o.afterPreCopy, "postcopy-after-precopy", false, "the same as --postcopy")
	f.BoolVar(&o.resume, "postcopy-resume", false, "resume a post-copy that the network interrupted")
	addValues(f, "postcopy-")
	f.BoolVar(&o.parallel, "parallel", false, fmt.Sprintf("send memory over several connections (%d by default)", defaultConnections))
	f.IntVar(&o.connections, "parallel-connections", 0, "send memory over `N` connections, from 1 to 255; implies --parallel")
	f.Uint64Var(&o.bandwidth, "bandwidth", 0, "limit memory to so many `MiB/s`")
	addValues(f, "available-")
	f.BoolVar(&o.compressed, "compressed", false, "compress memory: by xbzrle, which sends only what changed of a page, if --comp-methods says nothing else")
	addValues(f, "comp-")
	f.IntVar(&o.timeout, "timeout", 0, "give up after so many `SECONDS`; or do as one of the next two says")
	f.BoolVar(&o.timeoutSuspend, "timeout-suspend", false, "pause the guest at the timeout; the rest then gets through")
	f.BoolVar(&o.timeoutPC, "timeout-postcopy", false, "switch to post-copy at the timeout; needs --postcopy")
	f.BoolVar(&o.autoConverge, "auto-converge", false, "slow a busy guest down; until it changes less memory than gets through")
	addValues(f, "auto-converge-")
	f.BoolVar(&o.abortOnError, "abort-on-error", false, "give up if the guest's disks have an error meanwhile")
	f.BoolVar(&o.unsafe, "unsafe", false, "migrate although libvirt considers the disks at risk (caches, storage that is not shared)")
	f.StringVar(&o.tls, "tls", "", "`yes|no`: whether data has TLS (default: as configured)")
	f.BoolVar(&o.auto, "auto", false, "let the daemon decide what to do and when; the next three set its goal (default: as configured)")
	f.StringVar(&o.maxDowntime, "max-downtime", "", "let the guest stand still for `TIME` at the end; 300ms by default, or as configured")
	f.StringVar(&o.deadline, "deadline", "", "give up after `TIME`, such as 10m, or 30s/GiB for each GiB of memory; the guest goes on here")
	f.StringSliceVar(&o.allow, "allow", nil, "do `WHAT` to a busy guest: slow,postcopy,pause; some of them, all or none (default: as configured)")
	f.BoolVar(&o.live, "live", false, "accepted, without effect: every migration is live")
	f.BoolVar(&o.dryRun, "dry-run", false, "only find out whether the guest can go there, as sluice plan does")
	f.BoolVar(&o.json, "json", false, "print one JSON object per line; progress, and the result last")
	addSocket(f, &o.socket)
	markUsual(f, "copy-storage-all", "copy-storage-inc", "create-disks", "persistent", "undefinesource", "postcopy", "postcopy-resume",
		"parallel", "bandwidth", "timeout", "auto", "max-downtime", "deadline", "allow", "json")
}

func addSocket(f *pflag.FlagSet, socket *string) {
	f.StringVar(socket, "socket", control.DefaultSocket, "`PATH` of the daemon's control socket")
}

// request is what the flags ask for, or what is wrong with them.
func (o *migrateOptions) request(f *pflag.FlagSet, guest, peer string) (*control.MigrateRequest, error) {
	switch {
	case f.Changed("dname") && o.dname == "":
		return nil, errors.New("--dname takes a name; leave it out to keep the guest's")
	case o.copyAll && o.copyInc:
		return nil, errors.New("--copy-storage-all and --copy-storage-inc exclude each other")
	case o.timeoutSuspend && o.timeoutPC:
		return nil, errors.New("--timeout-suspend and --timeout-postcopy exclude each other")
	case f.Changed("timeout") && o.timeout < 1:
		return nil, fmt.Errorf("--timeout takes seconds, at least 1, not %d", o.timeout)
	case f.Changed("bandwidth") && o.bandwidth == 0:
		return nil, errors.New("--bandwidth takes MiB/s, at least 1; leave it out for no limit")
	case f.Changed("parallel-connections") && o.connections < 1:
		return nil, fmt.Errorf("--parallel-connections takes a number from 1 to 255, not %d", o.connections)
	case f.Changed("tls") && o.tls != control.Yes && o.tls != control.No:
		return nil, fmt.Errorf("--tls takes yes or no, not %q", o.tls)
	}
	if err := peerName(peer); err != nil {
		return nil, err
	}
	req := &control.MigrateRequest{
		Guest:               guest,
		Peer:                peer,
		Name:                o.dname,
		Offline:             o.offline,
		Suspend:             o.suspend,
		CreateDisks:         o.createDisks,
		Synchronous:         o.synchronous,
		Compressed:          o.compressed,
		AbortOnError:        o.abortOnError,
		Values:              values(f),
		Persistent:          o.persistent,
		UndefineSource:      o.undefineSource,
		PostCopy:            o.postCopy || o.afterPreCopy || o.resume,
		PostCopyResume:      o.resume,
		AutoConverge:        o.autoConverge,
		Unsafe:              o.unsafe,
		ParallelConnections: o.connections,
		Bandwidth:           o.bandwidth,
		Timeout:             o.timeout,
		TLS:                 o.tls,
		MaxDowntime:         o.maxDowntime,
		Deadline:            o.deadline,
		Allow:               o.allow,
	}
	for name, text := range map[string]string{"max-downtime": o.maxDowntime, "deadline": o.deadline} {
		if f.Changed(name) && text == "" {
			return nil, fmt.Errorf("--%s takes a time; leave it out for what the daemon's configuration says", name)
		}
	}
	switch {
	case f.Changed("allow") && len(o.allow) == 0:
		return nil, errors.New("--allow takes words, with commas between them; write --allow none for nothing")
	case o.auto:
		req.Auto = control.Yes
	case f.Changed("auto"):
		req.Auto = control.No
	}
	if o.parallel && o.connections == 0 {
		req.ParallelConnections = defaultConnections
	}
	for flag, text := range map[string]*string{"xml": &req.XML, "persistent-xml": &req.PersistentXML} {
		var err error
		if *text, err = description(f, flag); err != nil {
			return nil, err
		}
	}
	switch {
	case o.copyAll:
		req.CopyStorage = control.CopyAll
	case o.copyInc:
		req.CopyStorage = control.CopyInc
	}
	switch {
	case o.timeoutSuspend:
		req.TimeoutAction = control.TimeoutSuspend
	case o.timeoutPC:
		req.TimeoutAction = control.TimeoutPostCopy
	case o.timeout > 0:
		req.TimeoutAction = control.TimeoutAbort
	}
	return req, req.Check()
}
