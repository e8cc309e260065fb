#!/bin/sh
# Runs the tests that need PostgreSQL against every pinned version of it, and ends
# with one line for each. A version that cannot be had fails, as a failed test
# does: it was not tested. Arguments choose versions: scripts/test-matrix.sh 13 18
set -eu
cd "$(dirname "$0")/.."

# shellcheck disable=SC2046 # one argument for each version
[ $# -gt 0 ] || set -- $(scripts/fetch-postgres.sh --list)

# A server that somebody has provided would be taken instead of the version.
unset SQLLOCK_TEST_POSTGRES

# The packages whose tests use real servers, and not SQLite alone.
packages=$(go list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... |
	awk '$1 !~ /sqlite$/ && (/ [^ ]*\/internal\/testdb( |$)/ || $1 ~ /\/internal\/testdb$/) { print $1 }')

# run VERSION sets result.
run() {
	result="not run"
	bin=$(scripts/fetch-postgres.sh "$1") || return
	result=failed
	# shellcheck disable=SC2086 # one argument for each package
	SQLLOCK_TEST_POSTGRES_BIN=$bin go test -count=1 $packages || return
	result=passed
}

summary=
failed=0
for version; do
	echo "== PostgreSQL $version"
	run "$version" || failed=1
	summary="$summary
PostgreSQL $version: $result"
done
echo "== Summary$summary"
exit $failed
