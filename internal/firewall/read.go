package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A Ruleset is what the kernel has in the network namespace that it was read in.
type Ruleset struct{ tables []*table }

type table struct {
	family nftables.TableFamily
	name   string
	chains map[string]*chain
	sets   map[string]*set
}

type chain struct {
	*nftables.Chain
	table *table
	rules []*rule
}

type rule struct {
	*nftables.Rule
	opaque bool // it has an expression that is not read
}

type set struct {
	*nftables.Set
	elements []nftables.SetElement // as sorted has them
	others   int                   // those that stand first have no key: they are for all that no other has
	wide     bool                  // it has elements of several values each, which are not in order
}

// Read reads all rules, which takes CAP_NET_ADMIN.
func Read() (*Ruleset, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	opaque, err := opaqueRules()
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EINVAL):
		return new(Ruleset), nil // a kernel without nftables
	case err != nil:
		return nil, fmt.Errorf("nftables: list rules: %w", err)
	}
	all, err := c.ListTables()
	if err != nil {
		return nil, fmt.Errorf("nftables: list tables: %w", err)
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, fmt.Errorf("nftables: list chains: %w", err)
	}
	r := new(Ruleset)
	for _, from := range all {
		t := &table{family: from.Family, name: from.Name, chains: make(map[string]*chain), sets: make(map[string]*set)}
		r.tables = append(r.tables, t)
		for _, of := range chains {
			if of.Table.Name != t.name || of.Table.Family != t.family {
				continue
			}
			rules, err := c.GetRules(from, of)
			if err != nil {
				return nil, fmt.Errorf("nftables: list rules of %s %s: %w", t.name, of.Name, err)
			}
			own := &chain{Chain: of, table: t}
			for _, one := range rules {
				own.rules = append(own.rules, &rule{one, opaque[handle{byte(t.family), t.name, one.Handle}]})
			}
			t.chains[of.Name] = own
		}
		sets, err := c.GetSets(from)
		if err != nil {
			return nil, fmt.Errorf("nftables: list sets of %s: %w", t.name, err)
		}
		for _, of := range sets {
			elements, err := c.GetSetElements(of)
			if err != nil {
				return nil, fmt.Errorf("nftables: list the set %s of %s: %w", of.Name, t.name, err)
			}
			for i, e := range elements {
				elements[i].VerdictData = verdictOf(e.Val)
			}
			t.sets[of.Name] = newSet(of, elements)
		}
	}
	return r, nil
}

// newSet puts a set's elements in order, the end of an interval before the next one's start.
func newSet(s *nftables.Set, elements []nftables.SetElement) *set {
	slices.SortStableFunc(elements, func(a, b nftables.SetElement) int {
		if order := bytes.Compare(a.Key, b.Key); order != 0 || a.IntervalEnd == b.IntervalEnd {
			return order
		} else if a.IntervalEnd {
			return -1
		}
		return 1
	})
	others := slices.IndexFunc(elements, func(e nftables.SetElement) bool { return len(e.Key) > 0 })
	if others < 0 {
		others = len(elements)
	}
	wide := s.Concatenation || slices.ContainsFunc(elements, func(e nftables.SetElement) bool { return e.KeyEnd != nil })
	return &set{s, elements, others, wide}
}

// verdictOf reads an element's verdict, of which the nftables package has the bytes alone; nil: it is
// none.
func verdictOf(raw []byte) *expr.Verdict {
	attributes, err := netlink.NewAttributeDecoder(raw)
	if err != nil {
		return nil
	}
	attributes.ByteOrder = binary.BigEndian
	var v *expr.Verdict
	chain := ""
	for attributes.Next() {
		switch attributes.Type() {
		case unix.NFTA_VERDICT_CODE:
			v = &expr.Verdict{Kind: expr.VerdictKind(int32(attributes.Uint32()))}
		case unix.NFTA_VERDICT_CHAIN:
			chain = attributes.String()
		}
	}
	if attributes.Err() != nil || v == nil {
		return nil
	}
	v.Chain = chain
	return v
}

// has says whether a value is in a set.
func (s *set) has(v value) tri {
	in := no
	for _, e := range s.near(v) {
		switch s.holds(e, v) {
		case yes:
			return yes
		case maybe:
			in = maybe
		}
	}
	return in
}

// near are the elements that can hold a value, which are few where all of it is known: blocklists
// have a hundred thousand. The last that is not above it is the only one whose interval can have it.
func (s *set) near(v value) []nftables.SetElement {
	in := s.elements[s.others:]
	if s.wide || len(in) == 0 || !v.part(0, uint32(len(in[0].Key))).whole() {
		return s.elements
	}
	end, _ := slices.BinarySearchFunc(in, v, func(e nftables.SetElement, v value) int {
		if order, _ := v.compare(e.Key); order < 0 {
			return 1
		}
		return -1
	})
	begin := max(0, end-1)
	if !s.Interval {
		begin, _ = slices.BinarySearchFunc(in, v, func(e nftables.SetElement, v value) int {
			order, _ := v.compare(e.Key)
			return -order
		})
	}
	return slices.Concat(s.elements[:s.others], in[begin:end])
}

// holds says whether one of the elements near a value is it, or begins an interval that has it.
func (s *set) holds(e nftables.SetElement, v value) tri {
	switch {
	case len(e.Key) == 0:
		return maybe // the one for all that no other has
	case e.IntervalEnd:
		return no
	case s.wide || len(e.Key) > len(v.data):
		return maybe
	case !s.Interval:
		return v.equals(e.Key)
	}
	order, known := v.compare(e.Key)
	switch {
	case !known:
		return maybe
	case order < 0:
		return no
	}
	return yes
}

// handle names a rule.
type handle struct {
	family byte
	table  string
	rule   uint64
}

// readable are the expressions that the nftables package knows. It leaves others out of a rule, which
// then seems to be for more packets than it is.
var readable = strings.Fields("bitwise cmp connlimit counter ct ctexpect cthelper cttimeout dynset exthdr fib flow_offload hash immediate " +
	"last limit log lookup masq match meta nat notrack numgen objref payload queue quota range redir reject secmark synproxy target")

// opaqueRules are those with other expressions.
func opaqueRules() (map[handle]bool, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	rules, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, nfgenmsgSize),
	})
	if err != nil {
		return nil, err
	}
	opaque := make(map[handle]bool)
	for _, m := range rules {
		if len(m.Data) < nfgenmsgSize {
			continue
		}
		attributes, err := netlink.NewAttributeDecoder(m.Data[nfgenmsgSize:])
		if err != nil {
			return nil, err
		}
		h, unread := handle{family: m.Data[0]}, false
		for attributes.Next() {
			switch attributes.Type() {
			case unix.NFTA_RULE_TABLE:
				h.table = attributes.String()
			case unix.NFTA_RULE_HANDLE:
				attributes.Do(func(b []byte) error {
					for _, digit := range b {
						h.rule = h.rule<<8 | uint64(digit)
					}
					return nil
				})
			case unix.NFTA_RULE_EXPRESSIONS:
				attributes.Nested(func(list *netlink.AttributeDecoder) error {
					for list.Next() {
						list.Nested(func(e *netlink.AttributeDecoder) error {
							for e.Next() {
								if e.Type() == unix.NFTA_EXPR_NAME && !slices.Contains(readable, e.String()) {
									unread = true
								}
							}
							return nil
						})
					}
					return nil
				})
			}
		}
		if err := attributes.Err(); err != nil {
			return nil, err
		}
		if unread {
			opaque[h] = true
		}
	}
	return opaque, nil
}

// nfgenmsgSize is that of struct nfgenmsg (linux/netfilter/nfnetlink.h), which begins with the family.
const nfgenmsgSize = 4

// Legacy are the tables of iptables-legacy that this kernel has in use, such as "filter". Their rules
// can't be read here.
func Legacy() (tables []string, err error) {
	for _, path := range []string{"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"} {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		tables = append(tables, strings.Fields(string(text))...)
	}
	slices.Sort(tables)
	return slices.Compact(tables), nil
}
