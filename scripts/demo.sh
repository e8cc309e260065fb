#!/usr/bin/env bash
# Four processes fight over one lock in a SQLite file. The first holder is killed with SIGKILL while it works; its command dies with it, its
# lease runs out, and the next in line takes over. No server is needed.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
trap 'pkill -P $$ || true; rm -rf "$dir"' EXIT
go build -o "$dir/sqllock" ./cmd/sqllock

export SQLLOCK_DSN="sqlite:$dir/locks.db"
export DEMO_START=$EPOCHREALTIME
ttl=2s

say() { awk -v a="$DEMO_START" -v b="$EPOCHREALTIME" -v who="$1" -v what="$2" 'BEGIN { printf "%6.2f s  %-7s %s\n", b - a, who, what }'; }
export -f say

# What the lock protects. It would print twice at a time if two processes could hold the lock.
job() {
    say "$SQLLOCK_OWNER" "holds $SQLLOCK_NAME, token $SQLLOCK_TOKEN: the report begins"
    sleep "$1"
    say "$SQLLOCK_OWNER" "the report is done"
}
export -f job

say demo "four processes want the lock nightly-report in $(basename "$dir")/locks.db; a lease lasts $ttl"
declare -A pid
for who in alice bob carol dave; do
    "$dir/sqllock" exec --owner "$who" --ttl "$ttl" nightly-report -- bash -c 'job 1' &
    pid[$who]=$!
    # In this order they come, so in this order they are served.
    sleep 0.2
done

say demo "kill -9 alice: nobody can tell the others, but nobody renews the lease either"
disown "${pid[alice]}" # so that bash prints no obituary of its own
kill -KILL "${pid[alice]}"

for who in bob carol dave; do
    wait "${pid[$who]}"
done
say demo "each of the others had the lock once, alone and in turn, and each token is larger than the last"
