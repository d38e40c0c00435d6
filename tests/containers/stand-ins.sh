#!/usr/bin/env bash
# Base images for the container test where no registry can be reached, made from Debian's or Ubuntu's own packages.
#
#     stand-ins.sh RELEASE_DIR
#
# The runtime image is a bare system of the release that this machine runs. The builder image is the same with
# g++ and libclang, and on top of them this machine's Rust toolchain, its downloaded crates and the compiled
# dependencies from RELEASE_DIR (the `release` folder of the target folder whose binary runs this test). Cargo
# finds them fresh, so the product's Dockerfile runs as it is, without a network, and RocksDB is compiled once.
#
# Needs root, debootstrap and Docker. Prints the names of the two images: builder, then runtime. What is there
# already is kept: the systems until they are deleted, the builder until toolchain or dependencies change.
set -euo pipefail

release_dir=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
runtime=quarry-test-runtime
system=quarry-test-builder-system
key=$(cat "$root/Cargo.toml" "$root/Cargo.lock" "$0" <(rustc --version --verbose) | sha256sum | cut -c 1-16)
builder=quarry-test-builder:$key

say() { echo "stand-ins: $*" >&2; }
have() { docker image inspect "$1" > /dev/null 2>&1; }

make_systems() {
    local work codename components=main
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    [ "$(. /etc/os-release && echo "$ID")" != ubuntu ] || components=main,universe
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # the value of now
    trap "rm -rf '$work'" EXIT

    say "a bare $codename system as runtime image"
    debootstrap --variant=minbase --components=$components "$codename" "$work/system" > "$work/log" ||
        { tail -n 20 "$work/log" >&2; exit 1; }
    # As in the slim images: no documents, no package lists.
    tar -C "$work/system" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists --exclude=./usr/share/doc \
        --exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./dev --exclude=./proc -c . |
        docker import - $runtime > /dev/null

    say "g++ and libclang on top of it for the builder image"
    cp /etc/resolv.conf "$work/system/etc/resolv.conf"
    chroot "$work/system" sh -c 'apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends g++ libclang-dev' > "$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2; exit 1; }
    mkdir -p "$work/system/target/release"
    tar -C "$work/system" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists --exclude=./dev \
        --exclude=./proc -c . | docker import - $system > /dev/null
}

make_builder() {
    local container cargo_home=${CARGO_HOME:-$HOME/.cargo}
    say "toolchain, crates and compiled dependencies into the builder image"
    container=$(docker create $system true)
    # shellcheck disable=SC2064 # the value of now
    trap "docker rm $container > /dev/null" RETURN
    tar -C "$(rustc --print sysroot)" --exclude=./share -c . | docker cp - "$container:/usr/local"
    # In the same place as here: where its source lies is part of what makes a crate fresh to Cargo. Only what the lock
    # file names and Linux needs: with some of Docker's storage drivers each layer of a build walks through all files.
    (cd / && {
        find "${cargo_home#/}"/registry/{index,cache} -type f -print0
        awk -F '"' '/^name = / { name = $2 } /^version = / && name { print name "-" $2; name = "" }' "$root/Cargo.lock" |
            grep -v '^win\(dows\|api\)' | while read -r crate; do
            find "${cargo_home#/}"/registry/src/*/"$crate" -type f -print0 2> /dev/null || true
        done
    } | tar -c --null --files-from=-) | docker cp - "$container:/"
    # Dependencies only: what belongs to Quarry itself is named after its package or is a program.
    (cd "$release_dir" && find .fingerprint build deps \
        \( -path '*/quarry-*' -o -path '*/libquarry-*' \) -prune -o \
        \( -not -path 'deps/*' -o -name '*.rlib' -o -name '*.rmeta' -o -name '*.so' -o -name '*.d' \) \
        -type f -print0 | tar -c --null --files-from=-) | docker cp - "$container:/target/release"
    docker commit --change "ENV CARGO_HOME=$cargo_home CARGO_TARGET_DIR=/target CARGO_NET_OFFLINE=true" \
        "$container" "$builder" > /dev/null
}

{ have $runtime && have $system; } || make_systems
if ! have "$builder"; then
    # One builder is enough to keep; one that something was built from goes with that.
    docker container prune --force --filter label=quarry.stage=builder > /dev/null # what a failed build left
    docker image prune --force --filter label=quarry.stage=builder > /dev/null
    docker image ls --quiet quarry-test-builder | xargs --no-run-if-empty docker image rm --force > /dev/null || true
    make_builder
fi
echo "$builder"
echo "$runtime"
