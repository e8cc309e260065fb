# shellcheck shell=sh
# Where fetched servers stay. For the scripts that fetch them, which define fail.

# Servers do not run as root: if root fetches, everybody must be able to get at
# what was fetched, which they are not below, say, /root.
open_to_all() {
	[ "$(id -u)" -ne 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$1"
}

cache_dir() {
	cache=${SQLLOCK_CACHE:-$(dirname "$0")/../.cache}
	mkdir -p "$cache"
	if [ -z "${SQLLOCK_CACHE:-}" ] && ! open_to_all "$cache"; then
		cache=/var/cache/sqllock-toolkit
		mkdir -p "$cache"
	fi
	open_to_all "$cache" || fail "$cache is closed to the user that servers run as; choose another SQLLOCK_CACHE"
	(cd "$cache" && pwd)
}
