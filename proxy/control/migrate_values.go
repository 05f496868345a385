package control

import (
	"maps"
	"slices"
	"strings"
)

// Option is an option of virsh migrate whose value is a parameter of the same meaning for libvirt.
type Option struct {
	Name   string // of virsh migrate, and so of sluice migrate
	Field  string // libvirt's name for it, a VIR_MIGRATE_PARAM_*
	List   bool   // names with commas between them, else a number
	Max    uint64 // of a number
	Wide   bool   // libvirt takes the number in 64 bits, else in 32
	Shared bool   // the destination's libvirt has to be told as well
	Since  uint64 // the first libvirt that knows it, 1,000,000 for each major version
	Usage  string // with the name of its value in back quotes
}

// The highest levels of compression.
const (
	maxLevel = 9 // of zlib
	maxZstd  = 20
)

// Names of options that others depend on.
const (
	OptionDisks       = "migrate-disks"
	OptionCompression = "comp-methods"

	OptionSlowInitial   = "auto-converge-initial"
	OptionSlowIncrement = "auto-converge-increment"
)

// Options is the table of them, in the order of `sluice migrate --help`.
var Options = []Option{
	{Name: OptionDisks, Field: "migrate_disks", List: true, Shared: true,
		Usage: "copy these `DISKS` alone, by their targets with commas between them (such as vda,vdc); the others are on storage that both hosts reach"},
	{Name: "migrate-disks-detect-zeroes", Field: "migrate_disks_detect_zeroes", List: true, Shared: true, Since: 10_009_000,
		Usage: "look for blocks of zeroes on these `DISKS`, and do not send them; needs libvirt 10.9"},
	{Name: "migrate-disks-target-zero", Field: "migrate_disks_target_zero", List: true, Shared: true, Since: 12_002_000,
		Usage: "take the destination's files of these `DISKS` for zeroed, and do not zero them first; needs libvirt 12.2"},
	{Name: OptionCompression, Field: "compression", List: true, Shared: true,
		Usage: "compress memory by these `METHODS`, with commas between them: xbzrle or mt; zlib or zstd with --parallel, which needs libvirt 9.4"},
	{Name: "comp-mt-level", Field: "compression.mt.level", Max: maxLevel, Shared: true, Usage: "`LEVEL` of the method mt, from 0 to 9"},
	{Name: "comp-mt-threads", Field: "compression.mt.threads", Max: 255, Shared: true, Usage: "compress with `N` threads by the method mt"},
	{Name: "comp-mt-dthreads", Field: "compression.mt.dthreads", Max: 255, Shared: true, Usage: "decompress with `N` threads by the method mt"},
	{Name: "comp-xbzrle-cache", Field: "compression.xbzrle.cache", Max: 1<<63 - 1, Wide: true, Shared: true, Usage: "`BYTES` of the cache of pages for xbzrle"},
	{Name: "comp-zlib-level", Field: "compression.zlib.level", Max: maxLevel, Shared: true, Since: sinceMultifd, Usage: "`LEVEL` of zlib, from 0 to 9"},
	{Name: "comp-zstd-level", Field: "compression.zstd.level", Max: maxZstd, Shared: true, Since: sinceMultifd, Usage: "`LEVEL` of zstd, from 0 to 20"},
	{Name: OptionSlowInitial, Field: "auto_converge.initial", Max: 99, Usage: "slow the guest down by so many `PERCENT` at first"},
	{Name: OptionSlowIncrement, Field: "auto_converge.increment", Max: 99, Usage: "and by so many `PERCENT` more each time"},
	{Name: "postcopy-bandwidth", Field: "bandwidth.postcopy", Max: maxBandwidth, Wide: true, Usage: "limit what post-copy sends without being asked to so many `MiB/s`"},
	{Name: "available-switchover-bandwidth", Field: "bandwidth.avail.switchover", Max: maxBandwidth, Wide: true, Since: 11_001_000,
		Usage: "take it that so many `MiB/s` get through while the guest is stopped, instead of what was measured; needs libvirt 11.1"},
}

// sinceMultifd is the first libvirt that compresses what several connections carry.
const sinceMultifd = 9_004_000

// Values are the values of Options, by their names.
type Values struct {
	Numbers map[string]uint64   `json:"numbers,omitempty" msgpack:"numbers"`
	Lists   map[string][]string `json:"lists,omitempty" msgpack:"lists"`
}

// Has says whether an option was given.
func (v Values) Has(option string) bool {
	_, number := v.Numbers[option]
	_, list := v.Lists[option]
	return number || list
}

// Given are the options that were given, in the order of the table.
func (v Values) Given() []Option {
	return slices.DeleteFunc(slices.Clone(Options), func(o Option) bool { return !v.Has(o.Name) })
}

// Shared are those that the destination's libvirt has to be told.
func (v Values) Shared() (shared Values) {
	for _, o := range v.Given() {
		if !o.Shared {
			continue
		}
		if o.List {
			shared.setList(o.Name, v.Lists[o.Name])
		} else {
			shared.setNumber(o.Name, v.Numbers[o.Name])
		}
	}
	return shared
}

func (v *Values) setNumber(name string, n uint64) {
	if v.Numbers == nil {
		v.Numbers = make(map[string]uint64)
	}
	v.Numbers[name] = n
}

func (v *Values) setList(name string, list []string) {
	if v.Lists == nil {
		v.Lists = make(map[string][]string)
	}
	v.Lists[name] = list
}

// Too big for any guest, and refused.
const (
	maxNames = 1024
	maxName  = 256 // bytes
)

// Check says what libvirt would not take, as an *Error of wrong use.
func (v Values) Check() error {
	known := make(map[string]Option)
	for _, o := range Options {
		known[o.Name] = o
	}
	for _, name := range slices.Sorted(maps.Keys(v.Numbers)) {
		switch o, is := known[name]; {
		case !is || o.List:
			return WrongUse("there is no option %.80q that takes a number", "--"+name)
		case v.Numbers[name] > o.Max:
			return WrongUse("--%s is %d; %d is the most that libvirt takes", name, v.Numbers[name], o.Max)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.Lists)) {
		o, is := known[name]
		if !is || !o.List {
			return WrongUse("there is no option %.80q that takes names", "--"+name)
		}
		list := v.Lists[name]
		if len(list) == 0 || len(list) > maxNames {
			return WrongUse("--%s has %d names; write from 1 to %d, with commas between them", name, len(list), maxNames)
		}
		for i, one := range list {
			if one == "" || len(one) > maxName || strings.ContainsRune(one, 0) || slices.Contains(list[:i], one) {
				return WrongUse("--%s: %.80q in %.200q is empty, too long or there twice; write names with commas between them and no blanks", name, one, strings.Join(list, ","))
			}
		}
	}
	return v.checkMethods()
}

// checkMethods refuses parameters of a method of compression that is not used.
func (v Values) checkMethods() error {
	methods := v.Lists[OptionCompression]
	for _, m := range methods {
		if _, is := methodOptions[m]; !is {
			return WrongUse("--comp-methods: there is no method %.80q; there are mt, xbzrle, zlib and zstd", m)
		}
	}
	for _, method := range slices.Sorted(maps.Keys(methodOptions)) {
		for _, option := range methodOptions[method] {
			// libvirt takes --comp-xbzrle-cache with the method named, and not by --compressed alone.
			if v.Has(option) && !slices.Contains(methods, method) {
				return WrongUse("--%s is of the method %s, which is not used: add --comp-methods %s", option, method, method)
			}
		}
	}
	return nil
}

// methodOptions are the methods of compression that libvirt knows, with the options for each.
var methodOptions = map[string][]string{
	"mt":     {"comp-mt-level", "comp-mt-threads", "comp-mt-dthreads"},
	"xbzrle": {"comp-xbzrle-cache"},
	"zlib":   {"comp-zlib-level"},
	"zstd":   {"comp-zstd-level"},
}

// TooNew is the first option that a libvirt of this version does not know, and the version that
// does; "" if it knows all.
func (v Values) TooNew(libvirt uint64) (option string, since uint64) {
	for _, o := range v.Given() {
		since := o.Since
		if o.Name == OptionCompression && v.multifd() {
			since = sinceMultifd
		}
		if libvirt < since {
			return o.Name, since
		}
	}
	return "", 0
}

// multifd says whether what several connections carry is to be compressed.
func (v Values) multifd() bool {
	methods := v.Lists[OptionCompression]
	return slices.Contains(methods, "zlib") || slices.Contains(methods, "zstd")
}
