package rules

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"syscall"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// ErrOff says that there is no table in the kernel.
var ErrOff = errors.New("interception is off: no table inet " + tableName + " in nftables")

// ErrForeign says that a table of sluice's name is not as sluice makes it.
var ErrForeign = errors.New("the table inet " + tableName + " in nftables is not as sluice makes it: somebody changed it, or another version made it; `sluice intercept up` replaces it")

// State is what the kernel has, and has counted since it was made.
type State struct {
	Table
	Redirected []uint64 // connections, by route
	Escaped    []uint64 // that were refused since they had not been redirected
	Elsewhere  uint64   // that were refused since they went to hosts that are no peers
	Refused    uint64   // attempts from other hosts
}

// Up puts t into the kernel, all of it or nothing, in place of a table that is
// there and differs. It says whether anything was changed.
func Up(t *Table) (changed bool, err error) {
	have, err := Read()
	switch {
	case err == nil && have.Equal(t):
		return false, nil
	case err != nil && !errors.Is(err, ErrOff) && !errors.Is(err, ErrForeign):
		return false, err
	}
	c, err := connect()
	if err != nil {
		return false, err
	}
	table := &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
	c.AddTable(table) // so that there is one to delete
	c.DelTable(table)
	c.AddTable(table)
	for _, want := range t.chains() {
		chain := c.AddChain(want.chain(table))
		for _, r := range want.rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: r.exprs(), UserData: r.comment()})
		}
	}
	if err := c.Flush(); err != nil {
		return false, explain("write the table inet "+tableName, err)
	}
	return true, nil
}

// Down removes the table. It says whether there was one.
func Down() (changed bool, err error) {
	c, err := connect()
	if err != nil {
		return false, err
	}
	if is, err := exists(c); err != nil || !is {
		return false, err
	}
	c.DelTable(&nftables.Table{Name: tableName, Family: nftables.TableFamilyINet})
	if err := c.Flush(); err != nil {
		return false, explain("delete the table inet "+tableName, err)
	}
	return true, nil
}

// Read is what the kernel has: an error that is ErrOff or ErrForeign if that is
// not a whole table of sluice's.
func Read() (*State, error) {
	c, err := connect()
	if err != nil {
		return nil, err
	}
	for {
		before, err := generation()
		if err != nil {
			return nil, err
		}
		st, err := read(c)
		after, gerr := generation()
		switch {
		case gerr != nil:
			return nil, gerr
		case after == before:
			return st, err
		}
	}
}

// read is Read, if nothing is changed meanwhile.
func read(c *nftables.Conn) (*State, error) {
	if is, err := exists(c); err != nil {
		return nil, err
	} else if !is {
		return nil, ErrOff
	}
	all, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, explain("list chains", err)
	}
	st := new(State)
	have := make(map[string][]*nftables.Rule) // by chain
	var chains []*nftables.Chain
	for _, chain := range all {
		if chain.Table.Name != tableName {
			continue
		}
		rules, err := c.GetRules(chain.Table, chain)
		if err != nil {
			return nil, explain("list rules", err)
		}
		chains, have[chain.Name] = append(chains, chain), rules
		for _, r := range rules {
			st.take(chain.Name, r)
		}
	}
	if !st.matches(chains, have) {
		return nil, ErrForeign
	}
	return st, nil
}

// take reads a rule into st, for matches to say whether it is what it seems.
func (st *State) take(chain string, r *nftables.Rule) {
	t, to, packets := parse(r)
	switch chain {
	case "outgoing":
		st.Port, st.Routes, st.Redirected = t.Port, append(st.Routes, to), append(st.Redirected, packets)
	case "escaping":
		if !to.Addr.IsValid() {
			st.PeersAlone, st.Elsewhere = true, packets
			return
		}
		st.Escaped = append(st.Escaped, packets)
	case "incoming":
		st.First, st.Last, st.Refused = t.First, t.Last, packets
	}
}

// matches says whether the kernel's chains and rules are those of st's table and no others.
func (st *State) matches(chains []*nftables.Chain, rules map[string][]*nftables.Rule) bool {
	want := st.chains()
	if len(chains) != len(want) {
		return false
	}
	for i, w := range want {
		if !reflect.DeepEqual(chains[i], w.chain(chains[i].Table)) || len(rules[w.name]) != len(w.rules) {
			return false
		}
		for j, r := range rules[w.name] {
			if !reflect.DeepEqual(r.Exprs, w.rules[j].exprs()) || string(r.UserData) != string(w.rules[j].comment()) {
				return false
			}
		}
	}
	return true
}

// chain is c for the kernel.
func (c chain) chain(table *nftables.Table) *nftables.Chain {
	hook, priority, accept := nftables.ChainHookOutput, nftables.ChainPriorityFilter, nftables.ChainPolicyAccept
	if c.hook == "input" {
		hook = nftables.ChainHookInput
	}
	if c.kind == "nat" {
		priority = nftables.ChainPriorityNATDest
	}
	return &nftables.Chain{Name: c.name, Table: table, Type: nftables.ChainType(c.kind), Hooknum: hook, Priority: priority, Policy: &accept}
}

func exists(c *nftables.Conn) (bool, error) {
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, explain("list tables", err)
	}
	for _, t := range tables {
		if t.Name == tableName {
			return true, nil
		}
	}
	return false, nil
}

// buffers of the kernel's, bytes: all of a table's rules go at once, and come
// back one by one. It has room for a fleet of thousands.
const buffers = 16 << 20

func connect() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(buffers), c.SetWriteBuffer(buffers))
	}))
	if err != nil {
		return nil, explain("open", err)
	}
	return c, nil
}

// explain says what to do where there is something.
func explain(doing string, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, os.ErrPermission):
		remedy = ": it needs root, or CAP_NET_ADMIN"
	case errors.Is(err, syscall.EAFNOSUPPORT):
		remedy = ": a systemd unit must allow AF_NETLINK in RestrictAddressFamilies"
	case errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOENT):
		remedy = ": this kernel may lack nf_tables, nft_redir, nft_reject_inet or nat in the family inet (Linux 5.2)"
	}
	return fmt.Errorf("nftables: %s: %w%s", doing, err, remedy)
}
