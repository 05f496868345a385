package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

const pkiHelp = `Make a small certificate authority and host certificates, for a lab or a small
site that has no authority yet. libvirt, QEMU and sluice accept them.

  # once, on one machine: pki/ca-cert.pem and its key
  sluice pki init
  # pki/host-a and pki/host-b
  sluice pki issue host-a host-b
  scp -r pki/host-b/. root@host-b:/etc/pki/

Files are written only into the folder that --dir names, and none is ever
overwritten. Whoever has ca-key.pem can impersonate any host: keep it off the
hosts. The authority keeps no register, and revokes and renews nothing: to
renew, issue into another folder.`

const pkiIssueHelp = `Make a key and a certificate for each HOST, in a folder of that name, laid out
as the programs on the host expect them. One certificate serves both roles,
server and client.

HOST is the name by which other hosts know this one. More names, IP addresses
and URIs follow it after commas: host-b,host-b.example.org,192.0.2.12. All of
them are in the certificate (subjectAltName).

Exit status: 0 made, 1 failed, 2 wrong use; then nothing was made.`

// defaultPKI is the folder that both commands use.
const defaultPKI = "pki"

// pkiOptions are what init and issue have in common.
type pkiOptions struct {
	dir  string
	key  string
	days int
}

func (o *pkiOptions) add(f *pflag.FlagSet, days int, life string) {
	f.StringVar(&o.dir, "dir", defaultPKI, "the `FOLDER` of the authority")
	f.StringVar(&o.key, "key", string(pki.ECDSA), "`KIND` of key: ecdsa (P-256), ecdsa-p384 or rsa (3072 bits)")
	f.IntVar(&o.days, "days", days, "how many `DAYS` "+life)
}

func (o *pkiOptions) check() error {
	switch pki.Algorithm(o.key) {
	case pki.ECDSA, pki.P384, pki.RSA:
	default:
		return fmt.Errorf("--key takes ecdsa, ecdsa-p384 or rsa, not %q", o.key)
	}
	if o.days < 1 || o.days > 36500 {
		return fmt.Errorf("--days takes days from 1 to 36500, not %d", o.days)
	}
	return nil
}

func newPKI(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pki",
		Short: "Make certificates for a lab or a small site",
		Long:  pkiHelp,
		Example: `  sluice pki init
  sluice pki issue host-a host-b`,
		Args: noSuchCommand,
		RunE: help,
	}
	cmd.AddCommand(newPKIInit(io), newPKIIssue(io))
	return cmd
}

func newPKIInit(io streams) *cobra.Command {
	var o pkiOptions
	var name string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the authority",
		Long: `Make a certificate authority: ca-cert.pem, which every host must trust, and
ca-key.pem, which signs certificates and stays where it is.

Exit status: 0 made, 1 failed, 2 wrong use; then nothing was made.`,
		Example: "  sluice pki init --dir migration-ca --name 'Migration CA'",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := o.check(); err != nil {
				return err
			}
			ca, err := pki.NewCA(pki.Authority{Name: name, Algorithm: pki.Algorithm(o.key), NotAfter: time.Now().AddDate(0, 0, o.days)})
			if err != nil {
				return failed(err)
			}
			files, err := pki.WriteCA(o.dir, ca)
			if err != nil {
				return failed(err)
			}
			list(io, files)
			return nil
		},
	}
	o.add(cmd.Flags(), 3650, "the authority is valid")
	cmd.Flags().StringVar(&name, "name", "sluice CA", "the authority's `NAME`")
	return cmd
}

func newPKIIssue(io streams) *cobra.Command {
	var o pkiOptions
	var name string
	cmd := &cobra.Command{
		Use:   "issue HOST...",
		Short: "Make certificates for hosts",
		Long:  pkiIssueHelp,
		Example: `  sluice pki issue host-a host-b
  sluice pki issue host-a,host-a.example.org,192.0.2.11 --layout qemu --key rsa`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if _, ok := layout.Named(name); !ok {
				return fmt.Errorf("--layout takes %s, not %q", strings.Join(layout.Names(), ", "), name)
			}
			return o.issue(io, name, args)
		},
	}
	o.add(cmd.Flags(), 365, "the certificates are valid, at most until the authority expires")
	var whose []string
	for _, l := range layout.All() {
		whose = append(whose, fmt.Sprintf("%s (%s)", l.Name, l.Dir))
	}
	cmd.Flags().StringVar(&name, "layout", layout.Libvirt, "`LAYOUT` of the folder: "+strings.Join(whose, ", "))
	return cmd
}

// issue looks at all hosts before anything is made of the first.
func (o *pkiOptions) issue(io streams, layout string, args []string) error {
	ca, err := pki.LoadCA(o.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return failed(fmt.Errorf("there is no authority in %s: make one with sluice pki init, or name its folder with --dir: %w", o.dir, err))
	}
	if err != nil {
		return failed(err)
	}
	end := time.Now().AddDate(0, 0, o.days)
	if ca.Cert.NotAfter.Before(end) {
		end = ca.Cert.NotAfter
	}
	hosts := make([]pki.Host, len(args))
	dirs := make([]string, len(args))
	seen := make(map[string]bool)
	for i, arg := range args {
		if hosts[i], dirs[i], err = parseHost(arg); err != nil {
			return err
		}
		hosts[i].Algorithm, hosts[i].NotAfter = pki.Algorithm(o.key), end
		dirs[i] = filepath.Join(o.dir, dirs[i])
		if _, err := os.Lstat(dirs[i]); !errors.Is(err, fs.ErrNotExist) {
			return failed(fmt.Errorf("%s exists already, and nothing is overwritten: move it away, or use another folder (--dir)", dirs[i]))
		}
		if seen[dirs[i]] {
			return fmt.Errorf("host %q is named twice", arg)
		}
		seen[dirs[i]] = true
	}
	for i, h := range hosts {
		pair, err := ca.Issue(h)
		if err != nil {
			return failed(err)
		}
		files, err := pki.WriteLayout(dirs[i], layout, pki.Set{CA: ca, Server: pair, Client: pair})
		if err != nil {
			return failed(err)
		}
		list(io, files)
	}
	return nil
}

// parseHost takes HOST[,NAME|ADDRESS|URI...] apart; dir is the name of the host's folder.
func parseHost(arg string) (h pki.Host, dir string, err error) {
	for name := range strings.SplitSeq(arg, ",") {
		switch ip, err := netip.ParseAddr(name); {
		case err == nil:
			h.IPs = append(h.IPs, net.IP(ip.AsSlice()))
		case strings.Contains(name, "://"):
			h.URIs = append(h.URIs, name)
		case validDNS(name):
			h.Names = append(h.Names, name)
		default:
			return h, "", fmt.Errorf("%q in %q is not a DNS name, IP address or URI", name, arg)
		}
		if dir == "" {
			dir = name
		}
	}
	if strings.Contains(dir, "://") {
		return h, "", fmt.Errorf("%q: the host's name comes before its URIs", arg)
	}
	return h, dir, nil
}

// validDNS takes host names, without wildcards: a certificate that could be any host's tells no
// host.
func validDNS(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' ||
			strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func list(io streams, files []string) {
	for _, f := range files {
		fmt.Fprintln(io.out, f)
	}
}
