#!/bin/sh
# Makes the certificates and keys in this folder, with OpenSSL 3.5 or newer. They are for a hundred
# years. mldsa is a host whose key is ML-DSA's, by an authority with an ordinary one, and ec is a
# host with an ordinary key by an authority whose key is ML-DSA's.
set -eu
cd "$(dirname "$0")"
authority() { # name, algorithm
	openssl req -x509 -newkey "$2" $3 -nodes -keyout "$1-ca.key" -out "$1-ca.pem" -subj "/CN=$1 CA" -days 36500 \
		-addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign,cRLSign
}
host() { # name, algorithm, options, authority
	openssl req -x509 -newkey "$2" $3 -nodes -keyout "$1.key" -out "$1.pem" -subj "/CN=$1" -days 36500 -CA "$4-ca.pem" -CAkey "$4-ca.key" \
		-addext basicConstraints=critical,CA:false -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth,clientAuth -addext "subjectAltName=DNS:$1"
}
curve="-pkeyopt ec_paramgen_curve:P-256"
authority ec ec "$curve"
authority mldsa ML-DSA-65 ""
host mldsa ML-DSA-65 "" ec
host ec ec "$curve" mldsa
openssl pkey -in mldsa.key -provparam ml-dsa.output_formats=seed-only -out mldsa.key
rm ./*-ca.key
chmod 0600 ./*.key
