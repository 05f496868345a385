package rules

import (
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// generation numbers the state of the whole of nftables: it is another one after
// each change. A table takes several requests to read, and what was read is of
// one moment if it is the same before and after.
func generation() (uint32, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, explain("open", err)
	}
	defer c.Close()
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: netlink.Request},
		Data:   make([]byte, nfgenmsgSize),
	})
	if err != nil {
		return 0, explain("ask for the generation", err)
	}
	for _, a := range answers {
		if len(a.Data) < nfgenmsgSize {
			continue
		}
		attributes, err := netlink.NewAttributeDecoder(a.Data[nfgenmsgSize:])
		if err != nil {
			return 0, explain("read the generation", err)
		}
		for attributes.Next() {
			if attributes.Type() == unix.NFTA_GEN_ID {
				return attributes.Uint32(), attributes.Err() // in whatever order: it is compared alone
			}
		}
	}
	return 0, fmt.Errorf("nftables: the kernel reports no generation")
}

// nfgenmsgSize is that of struct nfgenmsg (linux/netfilter/nfnetlink.h), which
// stands before the attributes.
const nfgenmsgSize = 4
