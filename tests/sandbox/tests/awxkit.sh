#!/usr/bin/env bash
# Runs the official AWX command line (awxkit 24.6.1) against the sandbox; fails on the first thing that does not work.
#
#   tests/sandbox/tests/awxkit.sh [CACHE_DIR]
#
# CACHE_DIR keeps the virtual environments between runs (default: target/awxkit). With WITH_ANSIBLE=1 ansible-core is
# installed there as well, and the sandbox runs real playbooks. SANDBOX_BIN names a binary that is built already.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${1:-$root/target/awxkit}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# make_venv NAME PACKAGES...: the marker is written last, so that an interrupted installation is done again.
make_venv() {
    local venv=$cache/$1
    shift
    if [ ! -f "$venv/.complete" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
        touch "$venv/.complete"
    fi
}

# awxkit imports pkg_resources and distutils, which later setuptools no longer bring.
make_venv awxkit-24.6.1 'awxkit==24.6.1' 'setuptools<81'
use_ansible=never
if [ "${WITH_ANSIBLE:-0}" = 1 ]; then
    make_venv ansible-core ansible-core
    export PATH="$cache/ansible-core/bin:$PATH"
    use_ansible=auto
fi
if [ -z "${SANDBOX_BIN:-}" ]; then
    (cd "$root" && cargo build --quiet --package runwarden-sandbox)
    SANDBOX_BIN=$root/target/debug/runwarden-sandbox
fi

work=$(mktemp -d)
sandbox_pid=
cleanup() {
    [ -z "$sandbox_pid" ] || { kill "$sandbox_pid" 2>/dev/null && wait "$sandbox_pid" 2>/dev/null; } || true
    rm -rf "$work"
}
trap cleanup EXIT

"$SANDBOX_BIN" --api-root /api/controller/v2 --use-ansible "$use_ansible" --speed 5 >"$work/about.json" 2>"$work/sandbox.log" &
sandbox_pid=$!
for _ in $(seq 200); do
    [ -s "$work/about.json" ] && break
    kill -0 "$sandbox_pid" || { cat "$work/sandbox.log"; exit 1; }
    sleep 0.1
done
about() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/about.json" "$1"; }

awx="$cache/awxkit-24.6.1/bin/awx"
unset CONTROLLER_HOST CONTROLLER_USERNAME CONTROLLER_PASSWORD CONTROLLER_OAUTH_TOKEN TOWER_HOST TOWER_OAUTH_TOKEN AWXKIT_API_BASE_PATH
host=$(about url)
by_token=(--conf.host "$host" --conf.token "$(about token)")
by_password=(--conf.host "$host" --conf.username "$(about username)" --conf.password "$(about password)")
checks=0

# expect STATUS TEXT COMMAND...: the command ends with that status and its output contains the text.
expect() {
    local want=$1 text=$2 status=0
    shift 2
    timeout 120 "$@" >"$work/out" 2>&1 || status=$?
    if [ "$status" != "$want" ] || ! grep -qF -- "$text" "$work/out"; then
        echo "FAILED: awx ${*: -6}"
        echo "expected exit status $want and the text: $text"
        echo "got exit status $status and:"
        cat "$work/out"
        exit 1
    fi
    checks=$((checks + 1))
}

for who in by_token by_password; do
    declare -n access=$who
    expect 0 '"version": "24.6.1"' "$awx" "${access[@]}" ping
    expect 0 '"username": "runwarden"' "$awx" "${access[@]}" me
    expect 0 '"name": "deploy"' "$awx" "${access[@]}" job_templates list --all
    expect 0 'Hello from the sandbox' "$awx" "${access[@]}" job_templates launch plain --monitor --interval 2.5
    expect 0 '"status": "successful"' "$awx" "${access[@]}" jobs get 1
done
expect 0 'version = 1.2.3' "$awx" "${by_token[@]}" job_templates launch deploy --monitor --extra_vars '{"environment": "dev", "version": "1.2.3"}'
# Variables given at launch are data, never templates.
expect 0 'notes = {{ 1 + 1 }}' "$awx" "${by_token[@]}" job_templates launch deploy --monitor --extra_vars '{"environment": "prod", "version": "2", "notes": "{{ 1 + 1 }}"}'
expect 1 'on purpose' "$awx" "${by_token[@]}" job_templates launch fails --monitor
expect 1 "'version' value missing" "$awx" "${by_token[@]}" job_templates launch deploy --extra_vars '{"environment": "dev"}'
expect 1 'You do not have permission' "$awx" "${by_token[@]}" job_templates launch 19
expect 0 'successful' "$awx" "${by_token[@]}" workflow_job_templates launch release --monitor
expect 1 'failed' "$awx" "${by_token[@]}" workflow_job_templates launch release-fails --monitor
expect 0 'Hello from the sandbox' "$awx" "${by_token[@]}" jobs stdout 1
expect 2 'Could not find any job_templates' "$awx" "${by_token[@]}" job_templates get nothing-of-that-name
expect 1 'Valid credentials were not provided.' "$awx" --conf.host "$host" --conf.token wrong me
expect 0 'export CONTROLLER_OAUTH_TOKEN=' "$awx" "${by_password[@]}" login -f human

# The platform's root, as AAP 2.5 and later have it.
export AWXKIT_API_BASE_PATH=/api/controller/
expect 0 '"version": "24.6.1"' "$awx" "${by_token[@]}" ping
expect 0 '/api/controller/v2/jobs/' "$awx" "${by_token[@]}" job_templates launch plain --monitor
expect 0 'successful' "$awx" "${by_password[@]}" workflow_job_templates launch release --monitor

echo "awxkit 24.6.1 works against the sandbox ($(about engine) runs): $checks checks"
