#!/usr/bin/env bash
# Builds the file tree of the container image: the program, the libraries that it loads, certificates, the licences of
# all of it, and nothing else.
# The Dockerfile runs this, so that what is tested without an engine is what the image has.
#
#   scripts/image-tree.sh BINARY LICENCES FOLDER           the gateway
#   scripts/image-tree.sh BINARY LICENCES FOLDER speech    also flite and PocketSphinx, for the local provider
#
# LICENCES is the file that scripts/release/licences.py writes.
# On Debian; as root the folders that the program writes to belong to its user, 65532.
set -euo pipefail
cd "$(dirname "$0")/.."
usage="usage: $0 BINARY LICENCES FOLDER [speech]"
binary=${1:?$usage}
licences=${2:?$usage}
tree=${3:?$usage}
with=${4:-}
user=65532
model=/usr/share/pocketsphinx/model/en-us
from_debian=(/usr/share/ca-certificates)

stop() {
    echo "image-tree: $*" >&2
    exit 1
}

# What the loader would load for a program, and the loader itself.
libraries_of() {
    ldd "$1" | sed -n -e 's/.*=> \(\/[^ ]*\) .*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) .*/\1/p'
}

# A program or library at its own path, with what it loads; links are followed.
add() {
    local library
    install -D -m 755 "$1" "$tree/${2:-$1}"
    [ "$1" = "$binary" ] || from_debian+=("$1")
    for library in $(libraries_of "$1"); do
        [ -e "$tree/$library" ] || install -D -m 755 "$library" "$tree/$library"
        from_debian+=("$library")
    done
}

# The packages that a file is of, which are several for a folder that they share. They may know it by its link, by what
# the link leads to, or by its place before /usr was merged.
packages_of() {
    local names=("$1" "$(realpath "$1")")
    # It fails for a name that nobody knows, and says `one, other:amd64: /path` of any else.
    { dpkg -S "${names[@]}" "${names[@]/#\/usr/}" 2>/dev/null || true; } |
        sed -E -e '/^(local )?diversion /d' -e 's/: \/.*//' -e 's/, /\n/g' | sed 's/:.*//' | sort -u
}

# What Debian says about the packages that files are of: who wrote them, and under which terms, with the texts that
# all of them share.
add_licences() {
    local file package packages text doc=$tree/usr/share/doc texts=/usr/share/common-licenses
    for file in "$@"; do
        packages=$(packages_of "$file")
        [ -n "$packages" ] || stop "no package tells the licence of $file"
        for package in $packages; do
            install -D -m 644 "/usr/share/doc/$package/copyright" "$doc/$package/copyright" ||
                stop "$package, which $file is of, has no licence in /usr/share/doc"
        done
    done
    for text in $(grep -rhoE "$texts/[A-Za-z0-9]+(-[0-9.]*[0-9])?" "$doc" | sort -u); do
        install -D -m 644 "$text" "$tree$text"
    done
}

[ -x "$binary" ] || stop "$binary is no program"
[ -s "$licences" ] || stop "$licences is no file: python3 scripts/release/licences.py $licences"
[ ! -e "$tree" ] || stop "$tree is there already"
case "$with" in
"" | speech) ;;
*) stop "$with: only speech can be added" ;;
esac
umask 022
mkdir -p "$tree"/usr/{bin,lib,lib64} "$tree"/etc/{antiphon,ssl/certs} "$tree"/var/lib/antiphon "$tree"/tmp
# Where the kernel's own file systems come.
mkdir -p "$tree"/{dev,proc,sys}
# As Debian has it.
for folder in bin lib lib64; do
    ln -s "usr/$folder" "$tree/$folder"
done

add "$binary" /usr/bin/antiphon
# Names of functions stay, for what a panic tells.
strip --strip-debug "$tree/usr/bin/antiphon"
if [ "$with" = speech ]; then
    for program in flite pocketsphinx_continuous prlimit; do
        found=$(command -v "$program") || stop "$program is missing (packages flite, pocketsphinx, util-linux)"
        add "$found" "/usr/bin/$program"
    done
    [ -d "$model" ] || stop "$model is missing (package pocketsphinx-en-us)"
    mkdir -p "$tree$model"
    cp -rL "$model/." "$tree$model"
    chmod -R u=rwX,go=rX "$tree$model"
    from_debian+=("$model/en-us/mdef")
fi

install -m 644 /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt" ||
    stop "certificates are missing (package ca-certificates)"
echo "antiphon:x:$user:$user:antiphon:/var/lib/antiphon:/sbin/nologin" >"$tree/etc/passwd"
echo "antiphon:x:$user:" >"$tree/etc/group"
# /etc/hosts before DNS, as a container's engine writes it.
echo "hosts: files dns" >"$tree/etc/nsswitch.conf"
install -D -m 644 LICENSE "$tree/usr/share/doc/antiphon/LICENSE"
install -m 644 "$licences" "$tree/usr/share/doc/antiphon/THIRD-PARTY.txt"
add_licences "${from_debian[@]}"

chmod 1777 "$tree/tmp"
chmod 750 "$tree/var/lib/antiphon"
[ "$(id -u)" -ne 0 ] || chown "$user:$user" "$tree/var/lib/antiphon"
