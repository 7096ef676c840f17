# shellcheck shell=bash
# A running Runwarden with a sandbox controller beside it, for the scripts that source this after checks.sh.
# shellcheck disable=SC2154  # target, binaries, scratch: from checks.sh

folder=
server_pid=
sandbox_pid=

# wait_for FILE PID LOG: until the file has something in it. Remove it before the process is started: one that an earlier
# process left would be taken for this one's.
wait_for() {
    local deadline=$((SECONDS + 60))
    until [ -s "$1" ]; do
        if ! kill -0 "$2" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            fails "$(basename "$3" .log) starts" "$3"
            exit 1
        fi
        sleep 0.1
    done
}

# end_of PID SECONDS: asks a process to stop; answers its exit status, 124 if it had to be killed.
end_of() {
    local status=0 deadline=$((SECONDS + $2))
    kill -TERM "$1" 2>/dev/null || true
    while kill -0 "$1" 2>/dev/null; do
        if [ $SECONDS -ge $deadline ]; then
            kill -KILL "$1" 2>/dev/null || true
            wait "$1" 2>/dev/null || true
            return 124
        fi
        sleep 0.1
    done
    wait "$1" || status=$?
    return "$status"
}

start_sandbox() {
    rm -f "$folder/sandbox.json"
    "$binaries/runwarden-sandbox" --speed 20 --data-dir "$folder/sandbox" >"$folder/sandbox.json" 2>"$folder/sandbox.log" &
    sandbox_pid=$!
    on_exit+=("end_of $sandbox_pid 10")
    wait_for "$folder/sandbox.json" "$sandbox_pid" "$folder/sandbox.log"
}

# start_server: on free ports, with the rate limits off, since the checks are faster than any caller should be.
start_server() {
    rm -f "$folder/ready"
    "$binaries/runwarden" up --data-dir "$folder/data" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
        --principal-rate 0 --address-rate 0 --log info >"$folder/ready" 2>"$folder/runwarden.log" &
    server_pid=$!
    wait_for "$folder/ready" "$server_pid" "$folder/runwarden.log"
}

# stop_server: afterwards nothing says where it was.
stop_server() {
    [ -n "$server_pid" ] || return 0
    local pid=$server_pid
    server_pid=
    end_of "$pid" 30 && [ ! -e "$folder/data/runwarden.json" ]
}

# of FILE KEY...: a value in a JSON file.
of() { python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2:]:
    value = value[key]
print(value)' "$@"; }

# new_folder: where everything of this run goes; kept for reading when something failed.
new_folder() {
    folder=$target/tests/$1
    rm -rf "$folder"
    mkdir -p "$folder"
    on_exit+=(stop_server)
}

# no_internal_trouble: nothing was logged as an error, no panic, and no secret that the checks know.
no_internal_trouble() {
    if grep -E '"level":"ERROR"|panicked at' "$folder/runwarden.log" >"$scratch/trouble"; then
        fails 'nothing went wrong inside' "$scratch/trouble"
    else
        passes 'nothing went wrong inside'
    fi
    # shellcheck disable=SC2046  # one word a secret
    if grep -FoH $(printf -- '-e %s ' "$(of "$folder/data/bootstrap.json" client_secret)" "$(of "$folder/sandbox.json" token)") \
        "$folder/runwarden.log" >"$scratch/trouble"; then
        fails 'no credential was logged' "$folder/runwarden.log"
    else
        passes 'no credential was logged'
    fi
}
