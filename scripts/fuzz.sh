#!/bin/sh
# Runs every fuzz target for a while, one after the other, and fails if one of
# them found something, which go test then writes below testdata/fuzz of its
# package. FUZZTIME is how long each runs, as go test's -fuzztime has it.
# Arguments choose packages:
#
#     FUZZTIME=5m scripts/fuzz.sh ./cmd/sqllock ./mysql/...
set -eu
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- ./...

targets=$(mktemp)
trap 'rm -f "$targets"' EXIT
trap 'exit 1' HUP INT TERM
# The names of a package's targets come before the line that says it is ok.
go test -list '^Fuzz' "$@" >"$targets"

failed=
for target in $(awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2 ":" names[i]; n = 0 }' "$targets"); do
	echo "== $target"
	go test -run '^$' -fuzz "^${target#*:}\$" -fuzztime "${FUZZTIME:-30s}" "${target%:*}" || failed="$failed $target"
done
[ -z "$failed" ] || {
	echo "== Failed:$failed" >&2
	exit 1
}
