#!/bin/sh
# Installs the servers that `make bench` runs, where they are missing, on Debian and
# as root: those of `make test`, and beside them Redis, etcd and ZooKeeper. Elsewhere
# it says what to install, and fails. None of them is started, now or when the
# machine boots.
set -eu

install="$(dirname "$0")/install-servers.sh"
"$install" postgresql mariadb-server

missing=
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v etcd >/dev/null || missing="$missing etcd-server"
# The package zookeeperd would add nothing but a service.
[ -e /usr/share/java/zookeeper.jar ] || missing="$missing zookeeper"
[ -n "$missing" ] || exit 0

# shellcheck disable=SC2086 # one argument for each package
"$install" $missing

# disable PACKAGE SERVICE undoes what Debian does for the next boot.
disable() {
	case " $missing " in
	*" $1 "*) ! command -v systemctl >/dev/null || systemctl --quiet disable "$2" ;;
	esac
}
disable redis-server redis-server
disable etcd-server etcd
