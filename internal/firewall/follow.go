package firewall

import (
	"cmp"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// A Verdict is what becomes of a connection.
type Verdict int

const (
	Passes  Verdict = iota
	Depends         // on what can't be told
	Blocked
)

// A Finding is a verdict, and by which base chain.
type Finding struct {
	Verdict
	Family, Table, Chain string // empty if it passes
	Keeper                      // of that chain
	Leaves               bool
}

// Judge says what becomes of a connection: it passes if all base chains let it.
func (r *Ruleset) Judge(c Connection) Finding {
	w := &walk{packet: c.packet()}
	found := Finding{Leaves: c.Leaves}
	for _, b := range r.base() {
		if !w.passes(b.table.family, *b.Hooknum) {
			continue
		}
		w.tracked = *b.Hooknum != *nftables.ChainHookPrerouting && *b.Hooknum != *nftables.ChainHookOutput || *b.Priority > *nftables.ChainPriorityConntrack
		out := w.chain(b.table, b.Name, 0)
		if out&leaves != 0 {
			out |= policy(b)
		}
		v := Depends
		switch {
		case out&drops == 0:
			v = Passes
		case out&accepts == 0:
			v = Blocked
		}
		if v > found.Verdict {
			found = Finding{Verdict: v, Family: b.table.word(), Table: b.table.name, Chain: b.Name, Keeper: b.table.keeper(), Leaves: c.Leaves}
		}
	}
	return found
}

// policy is what becomes of a packet that gets to a base chain's end.
func policy(c *chain) outcome {
	if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
		return drops
	}
	return accepts
}

// base are the chains at which the kernel begins, in its order.
func (r *Ruleset) base() (all []*chain) {
	for _, t := range r.tables {
		for _, c := range t.chains {
			if c.Hooknum != nil && c.Priority != nil && c.Type != nftables.ChainTypeNAT {
				all = append(all, c)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *chain) int {
		return cmp.Or(cmp.Compare(*a.Priority, *b.Priority), cmp.Compare(a.table.name, b.table.name), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// An outcome is a set of what may become of the packet in a rule or chain.
type outcome int

const (
	accepts outcome = 1 << iota // by this base chain
	drops
	leaves // the chain, for the one that called it, or for the base chain's policy
	next   // rule
)

// A walk follows one packet.
type walk struct {
	*packet
	tracked   bool // connection tracking has seen it
	registers map[uint32]value
}

// maxDepth is more than the kernel's NFT_JUMP_STACK_SIZE.
const maxDepth = 20

func (w *walk) chain(t *table, name string, depth int) (out outcome) {
	c := t.chains[name]
	if c == nil || depth > maxDepth {
		return accepts | drops | leaves
	}
	for _, r := range c.rules {
		becomes := w.rule(t, r, depth)
		out |= becomes &^ next
		if becomes&next == 0 {
			return out
		}
	}
	return out | leaves
}

// rule follows a rule: its conditions, from left to right, then its verdict.
func (w *walk) rule(t *table, r *rule, depth int) outcome {
	w.registers = make(map[uint32]value)
	all := yes
	if r.opaque {
		all = maybe
	}
	may := func(out outcome) outcome {
		if all == maybe {
			return out | next
		}
		return out
	}
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Verdict:
			return may(w.verdict(t, e, depth))
		case *expr.Reject:
			return may(drops)
		case *expr.Queue, *expr.SynProxy:
			return may(accepts | drops)
		case *expr.Target:
			switch {
			case e.Name == "REJECT":
				return may(drops)
			case !slices.Contains(harmless, e.Name):
				return may(accepts | drops | next)
			}
			continue
		case *expr.Lookup:
			if s := t.sets[e.SetName]; e.IsDestRegSet && s != nil && s.IsMap && e.DestRegister == 0 {
				return may(w.vmap(t, s, w.registers[e.SourceRegister], depth))
			}
		}
		holds := w.condition(t, e)
		if r.opaque && holds == no {
			holds = maybe // a register that something wrote of which nothing is known
		}
		if all = all.and(holds); all == no {
			return next
		}
	}
	return next
}

// harmless are iptables' targets that let a packet go on to the next rule.
var harmless = []string{"AUDIT", "CONNMARK", "CT", "LOG", "MARK", "NFLOG", "SET", "TCPMSS", "TRACE"}

func (w *walk) verdict(t *table, v *expr.Verdict, depth int) outcome {
	switch v.Kind {
	case expr.VerdictAccept, expr.VerdictStop:
		return accepts
	case expr.VerdictDrop:
		return drops
	case expr.VerdictReturn:
		return leaves
	case expr.VerdictGoto:
		return w.chain(t, v.Chain, depth+1)
	case expr.VerdictJump:
		out := w.chain(t, v.Chain, depth+1)
		if out&leaves != 0 {
			out = out&^leaves | next
		}
		return out
	case expr.VerdictContinue, expr.VerdictBreak:
		return next
	}
	return accepts | drops
}

// vmap is a map from values to verdicts.
func (w *walk) vmap(t *table, s *set, key value, depth int) (out outcome) {
	all := no
	for _, e := range s.near(key) {
		is := s.holds(e, key)
		if is == no {
			continue
		}
		becomes := accepts | drops | next
		if e.VerdictData != nil {
			becomes = w.verdict(t, e.VerdictData, depth)
		}
		if is == yes {
			return becomes
		}
		all = maybe
		out |= becomes
	}
	if all == no {
		return next
	}
	return out | next
}
