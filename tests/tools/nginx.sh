# shellcheck shell=bash
# The nginx example on a machine that is not the one it is written for, for the scripts that source this after checks.sh.
# shellcheck disable=SC2154  # root: from checks.sh

# nginx_for FOLDER CERTIFICATES EDGE LISTEN: makes FOLDER/nginx.conf with the example as it is, but for where the
# certificate lies, where the edge is, and where to listen.
nginx_for() {
    local place=$1 certificates=$2 edge=$3 listen=$4
    mkdir -p "$place/logs"
    sed -E -e "s#/etc/runwarden/https/#$certificates/#" -e "s#server 127.0.0.1:8080;#server $edge;#" -e '/listen \[::\]/d' \
        -e "s#listen 443 #listen $listen #" -e "s#listen 80;#listen unix:$place/plain.socket;#" \
        "$root/deploy/nginx/runwarden.conf" >"$place/runwarden.conf"
    cat >"$place/nginx.conf" <<TEXT
daemon off;
master_process off;
pid $place/nginx.pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path $place/body; proxy_temp_path $place/proxy; fastcgi_temp_path $place/fastcgi;
    uwsgi_temp_path $place/uwsgi; scgi_temp_path $place/scgi;
    include $place/runwarden.conf;
}
TEXT
}
