package bench

// priority makes sluice end on the one suite that is measured.
const priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM"

func sluiceTLS(e *end) []string {
	args := []string{"tunnel", "--ca", e.ca(), "--cert", e.cert(), "--key", e.key(), "--priority", priority}
	if e.sends {
		return append(args, "--listen", "unix:"+e.local, "--to", "tls:"+e.peer, "--tls-name", certName)
	}
	return append(args, "--listen", "tls:"+e.peer, "--allow", certName, "--to", "unix:"+e.local)
}

func sluicePlain(e *end) []string {
	if e.sends {
		return []string{"tunnel", "--listen", "unix:" + e.local, "--to", "tcp:" + e.peer, "--tls", "no"}
	}
	return []string{"tunnel", "--listen", "tcp:" + e.peer, "--to", "unix:" + e.local, "--tls", "no"}
}

// builtin is `sluice bench relay`.
func builtin(e *end) []string {
	role := "receive"
	if e.sends {
		role = "send"
	}
	return []string{"bench", "relay", e.name, role, e.local, e.peer, e.certs}
}
