#!/bin/sh
# Fetches a MySQL or MariaDB server for tests against one version, without
# touching the machine's own, nor its apt and dpkg, and prints the directory that
# holds the program:
#
#     SQLLOCK_TEST_MYSQL_BIN=$(scripts/fetch-mysql.sh mysql-9.7) go test ./...
#
# Several versions print several lines. What was fetched stays in $SQLLOCK_CACHE,
# by default .cache in the checkout; nothing is fetched twice.
#
# Debian's stable release has MariaDB 10.11. The others come from its unstable one,
# which moves on: a version that is not there any more, or cannot be reached, ends
# this with status 3.
set -eu

all="mariadb-10.11 mariadb-11.8 mysql-9.7"

fail() {
	echo "fetch-mysql: $*" >&2
	exit 1
}

not_there() {
	echo "fetch-mysql: $*" >&2
	exit 3
}

# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

# configure_apt writes a configuration under which apt knows Debian unstable only,
# believes that nothing is installed, and keeps everything in this directory.
configure_apt() {
	# shellcheck disable=SC2016 # apt-get expands it
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | head -n 1)
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} sid main" >sources.list
	mkdir -p lists/partial archives/partial
	: >status
	# The machine's own hooks, which may clean its own cache, are not for us.
	cat >apt.conf <<-END
		Dir::Etc::sourcelist "$PWD/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State::lists "$PWD/lists";
		Dir::State::status "$PWD/status";
		Dir::State::extended_states "$PWD/extended_states";
		Dir::Cache "$PWD";
		Dir::Cache::archives "$PWD/archives";
		Dir::Log "$PWD";
		Acquire::Check-Valid-Until "false";
		Acquire::Languages "none";
		APT::Update::Error-Mode "any";
		APT::Sandbox::User "root";
		Debug::NoLocking "true";
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Pre-Install-Pkgs;
		#clear DPkg::Post-Invoke;
	END
}

# unpack PACKAGE VERSION puts the package and all that it depends on into root, if
# unstable has that version of it.
unpack() {
	apt-get -c apt.conf update -qq >apt.log 2>&1 || not_there "Debian unstable cannot be reached: $(tail -n 1 apt.log)"
	candidate=$(apt-cache -c apt.conf show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p')
	case $candidate in
	"$2".* | *:"$2".*) ;;
	*) not_there "Debian unstable has $1 ${candidate:-not at all}, and no longer $2" ;;
	esac
	apt-get -c apt.conf install -qq -y --no-install-recommends --download-only "$1" >apt.log 2>&1 ||
		not_there "cannot fetch $1 $candidate: $(tail -n 1 apt.log)"
	for package in archives/*.deb; do
		case $package in
		archives/perl* | archives/libperl*) ;; # for programs that tests do not run
		*) dpkg-deb -x "$package" root ;;
		esac
	done
}

# wrap PROGRAM SHARE makes root/bin/PROGRAM, which runs usr/sbin/PROGRAM with the
# libraries and files that were fetched with it. Options come last, because the
# first may have to be --no-defaults.
wrap() {
	mkdir -p root/bin
	cat >"root/bin/$1" <<-END
		#!/bin/sh
		root=\$(cd "\$(dirname "\$0")/.." && pwd)
		for lib in "\$root"/usr/lib/*-linux-gnu*; do break; done
		for loader in "\$lib"/ld-linux*.so.*; do break; done
		exec "\$loader" --library-path "\$lib" "\$root/usr/sbin/$1" "\$@" --basedir="\$root/usr" \\
			--lc-messages-dir="\$root/usr/share/$2" --character-sets-dir="\$root/usr/share/$2/charsets" \\
			--plugin-dir="\$root/usr/lib/mysql/plugin" $3
	END
	chmod 755 "root/bin/$1"
}

# wrap_install does the same for mariadb-install-db. It insists on a program that
# would print what --no-defaults keeps from being read.
wrap_install() {
	cat >root/bin/mariadb-install-db <<-'END'
		#!/bin/sh
		root=$(cd "$(dirname "$0")/.." && pwd)
		export MYSQLD_BOOTSTRAP="$root/bin/mariadbd"
		exec "$root/usr/bin/mariadb-install-db" "$@" --basedir="$root/usr"
	END
	printf '#!/bin/sh\n' >root/usr/bin/my_print_defaults
	chmod 755 root/bin/mariadb-install-db root/usr/bin/my_print_defaults
}

# make VERSION makes root.
make() {
	configure_apt
	case $1 in
	mysql-*)
		unpack mysql-server-core "${1#*-}"
		# Else it insists on a directory of Debian's.
		wrap mysqld mysql --secure-file-priv=NULL
		root/bin/mysqld --no-defaults --version >/dev/null || not_there "MySQL of Debian unstable does not run here"
		;;
	mariadb-*)
		unpack mariadb-server-core "${1#*-}"
		wrap mariadbd mariadb ""
		wrap_install
		root/bin/mariadbd --no-defaults --version >/dev/null || not_there "MariaDB of Debian unstable does not run here"
		;;
	esac
	chmod -R a+rX root
}

fetch() {
	case " $all " in
	*" $1 "*) ;;
	*) fail "$1 is none of $all" ;;
	esac
	if [ "$1" = mariadb-10.11 ]; then
		case $(/usr/sbin/mariadbd --no-defaults --version 2>/dev/null) in
		*" 10.11."*) echo /usr/sbin ;;
		*) fail "MariaDB 10.11 comes from Debian 12: apt-get install mariadb-server" ;;
		esac
		return
	fi
	home=$cache/$1
	if [ ! -d "$home" ]; then
		command -v apt-get >/dev/null || not_there "$1 comes from Debian unstable, and this machine has no apt-get"
		# Complete or not there at all, also if this is interrupted or runs twice.
		work=$(mktemp -d "$cache/fetch.XXXXXX")
		trap 'rm -rf "$work"' EXIT
		trap 'exit 1' HUP INT TERM
		(cd "$work" && make "$1")
		mv -T "$work/root" "$home" 2>/dev/null || [ -d "$home" ] || fail "cannot write $home"
		rm -rf "$work"
		trap - EXIT
	fi
	echo "$home/bin"
}

[ $# -gt 0 ] || fail "usage: fetch-mysql.sh VERSION...|--list"
if [ "$1" = --list ]; then
	echo "$all"
	exit
fi
cache=$(cache_dir)
for version; do
	fetch "$version"
done
