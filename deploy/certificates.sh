#!/bin/sh
# Certificates for RAY_USE_TLS: an authority of your own, and for each host a key and a certificate that names its address.
#
#   deploy/certificates.sh FOLDER HOST...          deploy/certificates.sh tls 10.0.0.10 10.0.0.11 10.0.0.12
#
# Copy FOLDER/HOST/ to /etc/partsong/tls of that host, for Ray's user alone to read. FOLDER/ca.key makes further ones: keep it where no
# cluster is. Run again, it leaves the authority as it is and makes the hosts' certificates anew; they hold for DAYS (by default 365).
set -eu
umask 077
[ $# -ge 2 ] || { sed -n '2,7p' "$0"; exit 2; }
folder=$1; shift
mkdir -p "$folder"
curve="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
if [ ! -f "$folder/ca.key" ]; then
  # shellcheck disable=SC2086  # several words
  openssl req -x509 $curve -keyout "$folder/ca.key" -out "$folder/ca.crt" -days 3650 -subj "/CN=Partsong's authority" \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
fi
for host in "$@"; do
  mkdir -p "$folder/$host"
  case $host in *[!0-9.:a-fA-F]*) kind=DNS ;; *[.:]*) kind=IP ;; *) kind=DNS ;; esac
  printf 'subjectAltName=%s:%s,IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' "$kind" "$host" > "$folder/$host/extensions"
  # shellcheck disable=SC2086
  openssl req $curve -keyout "$folder/$host/tls.key" -out "$folder/$host/request" -subj "/CN=$host" 2>/dev/null
  openssl x509 -req -in "$folder/$host/request" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial -days "${DAYS:-365}" \
    -extfile "$folder/$host/extensions" -out "$folder/$host/tls.crt" 2>/dev/null
  cp "$folder/ca.crt" "$folder/$host/ca.crt"
  rm "$folder/$host/request" "$folder/$host/extensions"
done
