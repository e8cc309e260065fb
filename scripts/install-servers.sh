#!/bin/sh
# Installs the server programs that `make test` needs, where they are missing, on
# Debian and as root. Elsewhere it says in one line what to install, and fails.
# No installed server is started, now or when the machine boots. Arguments choose
# packages.
set -eu

[ $# -gt 0 ] || set -- postgresql pgbouncer mariadb-server galera-4 rsync gcc libc6-dev

# present PACKAGE tells whether the programs of a package are there, wherever they
# come from. A package is added by a line here and one in the defaults above.
present() {
	case $1 in
	postgresql) [ -n "${SQLLOCK_TEST_POSTGRES:-}" ] || command -v initdb || ls /usr/lib/postgresql/*/bin/initdb ;;
	pgbouncer) command -v pgbouncer || ls /usr/sbin/pgbouncer ;;
	mariadb-server) [ -n "${SQLLOCK_TEST_MYSQL:-}" ] || command -v mariadbd || command -v mysqld || ls /usr/sbin/mariadbd || ls /usr/sbin/mysqld ;;
	galera-4) ls /usr/lib/galera/libgalera_smm.so ;;
	rsync) command -v rsync ;;
	gcc) command -v cc ;;
	libc6-dev) ls /usr/include/stdio.h ;;
	npm) command -v npm ;;
	*) return 1 ;;
	esac >/dev/null 2>&1
}

missing=
for package; do
	present "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "install-servers: the tests need these Debian packages or the like of them:$missing" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
install() {
	# --no-remove, because MySQL and MariaDB would remove each other.
	apt-get install -q -y --no-remove --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
}

# Debian starts a server as soon as it is installed, and makes a cluster for
# PostgreSQL. Both are turned off for the time of the installation: change FILE
# keeps a file to be restored at the end.
kept=$(mktemp -d)
changed=

change() {
	[ ! -e "$1" ] || cp -p "$1" "$kept/$(basename "$1")"
	changed="$changed $1"
}

restore() {
	for file in $changed; do
		if [ -e "$kept/$(basename "$file")" ]; then
			cp -p "$kept/$(basename "$file")" "$file"
		else
			rm -f "$file"
		fi
	done
	rm -rf "$kept"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM

policy=/usr/sbin/policy-rc.d
change "$policy"
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

apt-get update -q
case " $missing " in
*" postgresql "*)
	# First what makes the clusters, with its configuration, then the server.
	install postgresql-common
	change /etc/postgresql-common/createcluster.conf
	echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
	;;
esac
# shellcheck disable=SC2086 # one argument for each package
install $missing

# disable PACKAGE SERVICE undoes what Debian does for the next boot. Without a
# cluster, PostgreSQL's service starts nothing.
disable() {
	case " $missing " in
	*" $1 "*) ! command -v systemctl >/dev/null || systemctl --quiet disable "$2" ;;
	esac
}
disable pgbouncer pgbouncer
disable mariadb-server mariadb
