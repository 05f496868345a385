package test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/plan"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

func deflated(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A peer is told of nothing that its guests may not have, whatever it says that a guest has.
func TestPlanProbes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.B, conf{limits: unhurried, top: "accept.elements = ['devices/disk']\naccept.networks = ['red']\n",
		peers: "[peers.host-a]\n[peers.host-c]\naddress = 'host-a:16515'\naccess = 'read-only'\n"})
	cpu := "<cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model></cpu>"
	ask := func(o *outsider, devices string, more ...string) (*plan.Answer, error) {
		memory := "<memory unit='KiB'>65536</memory>"
		if len(more) > 0 {
			memory = strings.Join(more, "")
		}
		a, from := new(plan.Answer), o.opener(nil)
		from.Limits.Handshake = time.Minute
		return a, from.Ask(s.ctx, "", plan.Question, &plan.Ask{Name: "p", CPU: cpu, Description: deflated(t, fmt.Sprintf(
			"<domain type='qemu'><name>p</name><uuid>%s</uuid>%s<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>%s</devices></domain>", uuid.NewString(), memory, devices))}, a)
	}
	o := s.outsider("host-a")
	disk := func(target, path string) string {
		return fmt.Sprintf("<disk type='file' device='disk'><source file='%s'/><target dev='%s' bus='virtio'/></disk>", path, target)
	}
	const emulator = "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
	a, err := ask(o, emulator+disk("vda", "/etc/shadow")+disk("vdb", "/nothing")+disk("vdc", "/var/lib/libvirt/images/none.raw")+
		"<interface type='network'><source network='blue'/></interface>")
	s.check(err)
	for _, target := range []string{"vda", "vdb"} {
		if d := a.Disks[target]; d.There || d.Size != 0 || !strings.Contains(d.Unknown, "host-b does not look there") {
			t.Errorf("of %s host-b tells %+v", target, d)
		}
	}
	if d := a.Disks["vdc"]; d.There || d.Unknown != "" {
		t.Errorf("of a missing image host-b tells %+v", d)
	}
	tells(t, a.Findings, control.ResultOK, "", "all of the CPU")
	tells(t, a.Findings, control.ResultError, "accept", "networks")
	tells(t, a.Findings, control.ResultUnknown, "unknown", "host-b has the guest's networks")

	// libvirt looks an encrypted disk's secret up as a volume's, though its type is passphrase.
	secret := uuid.NewString()
	s.virsh(s.B, "secret-define", s.write("secret.xml", []byte("<secret ephemeral='no' private='yes'><uuid>"+secret+"</uuid><usage type='volume'><volume>/luks/a</volume></usage></secret>")))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := s.B.Virsh(ctx, "secret-undefine", secret); err != nil {
			t.Error(err)
		}
	})
	locked := func(usage string) string {
		return strings.Replace(disk("vda", "/var/lib/libvirt/images/none.raw"), "/><target", "><encryption format='luks'><secret type='passphrase' usage='"+usage+"'/></encryption></source><target", 1)
	}
	a, err = ask(o, emulator+locked("/luks/a")+locked("/luks/b"))
	s.check(err)
	tells(t, a.Findings, control.ResultOK, "", "host-b has the secret passphrase /luks/a")
	tells(t, a.Findings, control.ResultError, "no-secret", "host-b does not have the secret passphrase /luks/b")

	cpu = "<cpu mode='custom' match='exact'><model fallback='forbid'>Icelake-Server</model></cpu>" // which no emulator can do whole
	a, err = ask(o, emulator, "<memory unit='KiB'>1099511627776</memory>")
	s.check(err)
	tells(t, a.Findings, control.ResultError, "cpu", "host-b can't give the guest the CPU that it has", "hypervisor-cpu-baseline")
	tells(t, a.Findings, control.ResultError, "memory", "host-b has", "1.00 PiB")
	a, err = ask(o, "<emulator>/bin/false</emulator>")
	s.check(err)
	tells(t, a.Findings, control.ResultUnknown, "unknown", "what host-b can give the guest")
	a, err = ask(o, emulator, "<memory unit='KiB'>65536</memory><memoryBacking><hugepages><page size='1048576' unit='KiB'/></hugepages></memoryBacking>")
	s.check(err)
	tells(t, a.Findings, control.ResultError, "hugepages", "host-b")

	for name, c := range map[string]struct {
		devices, memory string
		words           []string
	}{
		"a bomb":           {strings.Repeat(" ", 8<<20), "", []string{"host-b", "more than 1048576 bytes"}},
		"a half":           {"<disk>", "", []string{"host-b", "read the guest's description"}},
		"memory beyond":    {"", "<memory unit='GiB'>18446744073709551615</memory>", []string{"host-b", "more than a host has"}},
		"many descriptors": {strings.Repeat("<disk/>", 30_000), "", []string{"host-b", "more than"}},
	} {
		_, err := ask(o, c.devices, c.memory)
		if err == nil {
			t.Errorf("%s is answered", name)
			continue
		}
		says(t, name, err.Error(), c.words...)
	}
	if _, err := ask(s.outsider("host-c"), emulator); err == nil {
		t.Error("a peer that may bring no guest is answered")
	} else {
		says(t, "host-c", err.Error(), "access denied", "bringing a guest")
	}
}

// What a destination answers is taken for what it is: that of an older sluice for no answer, and
// nonsense for that, in words.
func TestPlanAnswers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.start(s.B, conf{limits: unhurried, peers: "[peers.host-a]\n[peers.host-c]\naddress = 'host-a:16515'\n"})
	g := s.guestOn(s.B, lab.GuestSpec{})
	s.virsh(s.B, "suspend", g.Name) // so that nothing is sampled
	o := s.outsider("host-c")
	var answer any
	var refusal error
	o.serves(&stream.Terms{Ask: func(_ context.Context, _, name string, _ []byte) (any, error) {
		switch name {
		case check.Question:
			return &check.Answer{Host: "host-c", Version: "0.1", Time: time.Now(), You: "host-b", Libvirt: "9.0.0"}, nil
		case plan.Question:
			return answer, refusal
		}
		return nil, errors.New("another question")
	}, Accept: func(context.Context, stream.Info) (stream.Handler, func(*stream.Session), error) {
		return nil, nil, errors.New("no sessions today")
	}})
	fine := control.Finding{Check: "memory", Result: control.ResultOK, Text: "there is a lot"}
	for name, c := range map[string]struct {
		answer       any
		refusal      error
		result, code string
		words        []string
	}{
		"older":        {nil, &stream.Cause{Code: stream.CodeVersion, Text: `there is no question "plan" here: update the older sluice`}, control.ResultWarning, "older", []string{"host-c is older", "update it"}},
		"refusing":     {nil, errors.New("not today"), control.ResultError, "no-answer", []string{"not today"}},
		"good":         {&plan.Answer{Findings: []control.Finding{fine}}, nil, control.ResultOK, "", []string{"there is a lot"}},
		"empty":        {&plan.Answer{}, nil, control.ResultError, "no-answer", []string{"host-c answers the question with nonsense", "finds nothing"}},
		"odd result":   {&plan.Answer{Findings: []control.Finding{{Check: "x", Result: "splendid", Text: "x"}}}, nil, control.ResultError, "no-answer", []string{"nonsense", `"splendid"`}},
		"other disks":  {&plan.Answer{Findings: []control.Finding{fine}, Disks: map[string]plan.Answered{"vdz": {There: true}}}, nil, control.ResultError, "no-answer", []string{"nonsense", `"vdz"`}},
		"a terminal's": {&plan.Answer{Findings: []control.Finding{{Check: "memory", Result: control.ResultOK, Text: "\x1b[2Jthere is a lot"}}}, nil, control.ResultError, "no-answer", []string{"nonsense", `"\x1b[2Jthere is a lot"`}},
		"contrary":     {&plan.Answer{Findings: []control.Finding{fine, {Check: "memory", Result: control.ResultError, Code: "memory", Text: "there is none"}}}, nil, control.ResultError, "no-answer", []string{"nonsense", "contradicts itself about memory"}},
		"a long one":   {&plan.Answer{Findings: []control.Finding{{Check: "memory", Result: control.ResultOK, Text: strings.Repeat("x", 10_000)}}}, nil, control.ResultError, "no-answer", []string{"nonsense", "10000 bytes"}},
		"another":      {[]int{1, 2, 3}, nil, control.ResultError, "no-answer", []string{"decode host-c's answer"}},
	} {
		answer, refusal = c.answer, c.refusal
		p := b.plans(g.Name, "host-c")
		tells(t, p.Findings, c.result, c.code, c.words...)
		tells(t, p.Findings, control.ResultUnknown, "unknown", "how fast data gets through to host-c", "no sessions today")
		if c.code == "" {
			continue
		}
		if tells(t, p.Findings, control.ResultUnknown, "unknown", "what host-c has for the guest"); p.Possible != (c.result != control.ResultError) {
			t.Errorf("%s: possible %t", name, p.Possible)
		}
	}
}

// A peer's probe has one channel, ends in time, and carries no more than a probe has.
func TestPlanFloods(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.start(s.B, conf{limits: unhurried, peers: "[peers.host-a]\n[peers.host-c]\naddress = 'host-a:16515'\naccess = 'read-only'\n"})
	open := func(peer string) (*stream.Session, error) {
		from := s.outsider(peer).opener(nil)
		from.Limits.Handshake = time.Minute
		return from.Open(s.ctx, stream.Info{ID: stream.NewID(), Work: session.WorkProbe})
	}
	if _, err := open("host-c"); err == nil {
		t.Error("a peer that may bring no guest may probe")
	} else {
		says(t, "host-c", err.Error(), "access denied")
	}
	probe, err := open("host-a")
	s.check(err)
	c, err := probe.OpenConn(s.ctx, stream.ChannelMemory)
	s.check(err)
	defer c.Close()
	sent, noise := 0, make([]byte, 1<<20)
	for ; sent < 256 && err == nil; sent++ {
		_, err = c.Write(noise)
	}
	// Beyond 16 MiB there is what the kernels hold back.
	if sent == 256 {
		t.Errorf("host-b takes %d MiB", sent)
	}
	<-probe.Settled()
	probe, err = open("host-a")
	s.check(err)
	if err := probe.Call(s.ctx, "prepare", nil, nil); err == nil {
		t.Error("a probe may prepare a guest")
	}
	if _, err := probe.OpenConn(s.ctx, stream.ChannelDisk); err == nil {
		t.Error("a probe has a channel for disks")
	}
	probe, err = open("host-a")
	s.check(err)
	<-probe.Settled() // though nothing is wrong with it
	says(t, "the cause", probe.Wait().Error(), "a probe of the link ends within")
	s.wait("no session to be left", time.Minute, func() bool { return len(b.status().Sessions) == 0 })
}
