#!/usr/bin/env bash
# Builds the file tree of the container image: the program, the libraries that it loads, certificates, and nothing else.
# The Dockerfile runs this, so that what is tested without an engine is what the image has.
#
#   scripts/image-tree.sh BINARY FOLDER           the gateway
#   scripts/image-tree.sh BINARY FOLDER speech    also flite and PocketSphinx, for the local provider
#
# On Debian; as root the folders that the program writes to belong to its user, 65532.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:?"usage: $0 BINARY FOLDER [speech]"}
tree=${2:?"usage: $0 BINARY FOLDER [speech]"}
with=${3:-}
user=65532
model=/usr/share/pocketsphinx/model/en-us

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
    for library in $(libraries_of "$1"); do
        [ -e "$tree/$library" ] || install -D -m 755 "$library" "$tree/$library"
    done
}

[ -x "$binary" ] || stop "$binary is no program"
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
fi

install -m 644 /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt" ||
    stop "certificates are missing (package ca-certificates)"
echo "antiphon:x:$user:$user:antiphon:/var/lib/antiphon:/sbin/nologin" >"$tree/etc/passwd"
echo "antiphon:x:$user:" >"$tree/etc/group"
# /etc/hosts before DNS, as a container's engine writes it.
echo "hosts: files dns" >"$tree/etc/nsswitch.conf"
install -D -m 644 LICENSE "$tree/usr/share/doc/antiphon/LICENSE"

chmod 1777 "$tree/tmp"
chmod 750 "$tree/var/lib/antiphon"
[ "$(id -u)" -ne 0 ] || chown "$user:$user" "$tree/var/lib/antiphon"
