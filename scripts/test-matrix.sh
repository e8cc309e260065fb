#!/bin/sh
# Runs the tests that need a server against every version of PostgreSQL, MariaDB
# and MySQL that is supported, two versions at a time, and ends with one line for
# each: passed, failed, or not run. Arguments choose versions:
#
#     scripts/test-matrix.sh 13 18 mysql-9.7
#
# A pinned version that cannot be had fails, as a failed test does: it was not
# tested. Only those of Debian unstable, which moves on, may be not run.
set -eu
cd "$(dirname "$0")/.."

# Most of the time tests wait, and not for a processor.
at_a_time=2

# A server that somebody has provided would be taken instead of the version.
unset SQLLOCK_TEST_POSTGRES SQLLOCK_TEST_MYSQL

# packages WITHOUT lists those whose tests use real servers, except for some paths.
packages() {
	go list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... |
		awk -v without="/($1)(/|\$)" '$1 !~ without && (/ [^ ]*\/internal\/testdb( |$)/ || $1 ~ /\/internal\/testdb$/) { print $1 }'
}

# run VERSION writes one word or two to the file $results/VERSION. What runs
# against one kind of server is left out for the other, also where a test of both
# has a subtest for each.
run() {
	echo failed >"$results/$1"
	case $1 in
	mariadb-* | mysql-*)
		bin=$(scripts/fetch-mysql.sh "$1") || {
			[ $? -ne 3 ] || echo "not run" >"$results/$1"
			return
		}
		# shellcheck disable=SC2046 # one argument for each package
		SQLLOCK_TEST_MYSQL_BIN=$bin go test -count=1 -skip 'Postgre|Advisory|SQLite|/^(postgres|advisory|sqlite)' $(packages 'postgres|sqlite|testdb') || return
		;;
	*)
		bin=$(scripts/fetch-postgres.sh "$1") || return
		# shellcheck disable=SC2046
		SQLLOCK_TEST_POSTGRES_BIN=$bin go test -count=1 -skip 'MySQL|MariaDB|Galera|SQLite|/^(mysql|named|sqlite)' $(packages 'mysql|sqlite') || return
		;;
	esac
	echo passed >"$results/$1"
}

# This script calls itself for each version.
if [ "${1:-}" = --one ]; then
	started=$(date +%s)
	run "$2" >"$results/$2.log" 2>&1 || true
	echo "== $2: $(cat "$results/$2") after $(($(date +%s) - started)) s"
	cat "$results/$2.log"
	exit
fi

# shellcheck disable=SC2046 # one argument for each version
[ $# -gt 0 ] || set -- $(scripts/fetch-postgres.sh --list) $(scripts/fetch-mysql.sh --list)

results=$(mktemp -d)
export results
trap 'rm -rf "$results"' EXIT
trap 'exit 1' HUP INT TERM
printf '%s\n' "$@" | xargs -n 1 -P "$at_a_time" scripts/test-matrix.sh --one

failed=0
not_run=
echo "== Summary"
for version; do
	result=$(cat "$results/$version")
	case $version in
	mariadb-*) name="MariaDB ${version#*-}" ;;
	mysql-*) name="MySQL ${version#*-}" ;;
	*) name="PostgreSQL $version" ;;
	esac
	echo "$name: $result"
	case $result in
	failed) failed=1 ;;
	"not run") not_run="$not_run, $name" ;;
	esac
done
[ -z "$not_run" ] || echo "== Not run, so not tested: ${not_run#, }"
exit $failed
