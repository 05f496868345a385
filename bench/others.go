package bench

import (
	"fmt"
	"net"
	"os"
	"runtime"
)

// Each of these gets certificates, demands the other's, takes TLS 1.3 with AES-128-GCM alone (those
// with OpenSSL also by the file that OPENSSL_CONF names), and sends small messages at once.

func ghostunnel(e *end) []string {
	tls := []string{"--cert", e.cert(), "--key", e.key(), "--cacert", e.ca()}
	if e.sends {
		return append([]string{"client", "--listen", "unix:" + e.local, "--target", e.peer, "--override-server-name", certName}, tls...)
	}
	return append([]string{"server", "--listen", e.peer, "--target", "unix:" + e.local, "--allow-cn", certName}, tls...)
}

func stunnel(e *end) []string {
	client, accept, connect := "no", e.peer, e.local
	if e.sends {
		client, accept, connect = "yes", e.local, e.peer
	}
	return []string{e.file("stunnel.conf", fmt.Sprintf(`foreground = yes
pid =
syslog = no
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[relay]
client = %s
accept = %s
connect = %s
cert = %s
key = %s
CAfile = %s
verifyChain = yes
sslVersionMin = TLSv1.3
ciphersuites = %s
`, client, accept, connect, e.cert(), e.key(), e.ca(), suite))}
}

func haproxy(e *end) []string {
	tls := fmt.Sprintf("ssl crt %s ca-file %s verify required ssl-min-ver TLSv1.3 ciphersuites %s", e.both(), e.ca(), suite)
	bind, server := e.peer+" "+tls, "unix@"+e.local
	if e.sends {
		bind, server = "unix@"+e.local, e.peer+" "+tls+" verifyhost "+certName
	}
	return []string{"-f", e.file("haproxy.cfg", fmt.Sprintf(`global
	nbthread %d
	maxconn 1000
	tune.bufsize 65536
defaults
	mode tcp
	timeout connect 10s
	timeout client 1h
	timeout server 1h
frontend in
	bind %s
	default_backend out
backend out
	server out %s
`, runtime.NumCPU(), bind, server))}
}

func nginx(e *end) []string {
	server := fmt.Sprintf(`listen %s ssl;
		ssl_certificate %s;
		ssl_certificate_key %s;
		ssl_client_certificate %s;
		ssl_verify_client on;
		ssl_protocols TLSv1.3;
		ssl_conf_command Ciphersuites %s;
		proxy_pass unix:%s;`, e.peer, e.cert(), e.key(), e.ca(), suite, e.local)
	if e.sends {
		server = fmt.Sprintf(`listen unix:%s;
		proxy_pass %s;
		proxy_ssl on;
		proxy_ssl_certificate %s;
		proxy_ssl_certificate_key %s;
		proxy_ssl_trusted_certificate %s;
		proxy_ssl_verify on;
		proxy_ssl_name %s;
		proxy_ssl_protocols TLSv1.3;
		proxy_ssl_conf_command Ciphersuites %s;`, e.local, e.peer, e.cert(), e.key(), e.ca(), certName, suite)
	}
	log := e.file("nginx.log", "")
	return []string{"-e", log, "-p", e.dir, "-c", e.file("nginx.conf", fmt.Sprintf(`%suser root;
daemon off;
worker_processes %d;
pid nginx.pid;
error_log %s;
events { worker_connections 1024; }
stream {
	server {
		%s
		proxy_buffer_size 64k;
	}
}
`, streamModule(), runtime.NumCPU(), log, server))}
}

// streamModule loads Debian's; elsewhere it is mostly built in.
func streamModule() string {
	const path = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return "load_module " + path + ";\n"
}

func socat(e *end) []string {
	tls := fmt.Sprintf("cert=%s,cafile=%s,verify=1,openssl-min-proto-version=TLS1.3,nodelay", e.both(), e.ca())
	if e.sends {
		return []string{"-b", "65536", "UNIX-LISTEN:" + e.local + ",fork,backlog=128",
			"OPENSSL:" + e.peer + "," + tls + ",commonname=" + certName}
	}
	host, port, _ := net.SplitHostPort(e.peer)
	return []string{"-b", "65536", "OPENSSL-LISTEN:" + port + ",bind=" + host + ",fork,reuseaddr,backlog=128," + tls,
		"UNIX-CONNECT:" + e.local}
}
