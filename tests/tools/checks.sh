# shellcheck shell=bash
# Counted checks, sourced by the scripts beside it. Each check is one line that ./tests/run counts:
#
#     ok    what holds
#     FAIL  what does not, followed by what the command printed
#     skip  what was not looked at: why

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034  # used by the scripts that source this
tools=$root/tests/tools
backends=${RUNWARDEN_BACKENDS:-$root/.backends}
target=${CARGO_TARGET_DIR:-$root/target}
# shellcheck disable=SC2034
binaries=$target/debug

failed=0
scratch=$(mktemp -d)
on_exit=()

# Runs what was left in on_exit, newest first, and ends with 1 if a check failed.
finish() {
    local status=$? at
    for ((at = ${#on_exit[@]} - 1; at >= 0; at--)); do
        ${on_exit[at]} || true
    done
    rm -rf "$scratch"
    [ "$status" = 0 ] && [ "$failed" != 0 ] && status=1
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

passes() { printf '  ok    %s\n' "$1"; }
skips() { printf '  skip  %s: %s\n' "$1" "$2"; }

# fails NAME [FILE]: counts a failure and shows the end of the file.
fails() {
    failed=$((failed + 1))
    printf '  FAIL  %s\n' "$1"
    if [ -n "${2:-}" ] && [ -s "$2" ]; then
        tail -n 60 "$2" | sed 's/^/          /'
    fi
}

# check NAME COMMAND...: the command ends with 0.
check() {
    local name=$1 status=0
    shift
    "$@" >"$scratch/output" 2>&1 </dev/null || status=$?
    if [ "$status" = 0 ]; then passes "$name"; else fails "$name (exit status $status)" "$scratch/output"; fi
}

# check_says NAME TEXT COMMAND...: it ends with 0 and its output contains the text.
check_says() {
    local name=$1 text=$2 status=0
    shift 2
    "$@" >"$scratch/output" 2>&1 </dev/null || status=$?
    if [ "$status" = 0 ] && grep -qF -- "$text" "$scratch/output"; then
        passes "$name"
    else
        fails "$name (exit status $status; wanted 0 and: $text)" "$scratch/output"
    fi
}

# check_refused NAME TEXT COMMAND...: it ends with another status than 0 and its output contains the text.
check_refused() {
    local name=$1 text=$2 status=0
    shift 2
    "$@" >"$scratch/output" 2>&1 </dev/null || status=$?
    if [ "$status" != 0 ] && grep -qF -- "$text" "$scratch/output"; then
        passes "$name"
    else
        fails "$name (exit status $status; wanted a refusal with: $text)" "$scratch/output"
    fi
}

# tool FOLDER NAME: the path of a program that tests/tools/backends installed.
tool() { printf '%s/python/%s/bin/%s' "$backends" "$1" "$2"; }
