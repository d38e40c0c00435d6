#!/usr/bin/env bash
# Five nodes in containers, started as the README says: they find each other, mine, pay each other, and agree again
# after one was cut off. tests/containers.rs runs this:
#
#     network.sh RELEASE_DIR      the folder with this build's `quarry`
#
# Exits with 77 where it cannot run, having said why. With QUARRY_TEST_LONG set, the nodes run the `dev` network as it
# is, with its 10 s blocks; else the same with 2 s blocks.
#
# Base images: $BUILDER_IMAGE and $RUNTIME_IMAGE where both are set; else stand-ins (stand-ins.sh) where they can be
# made; else the Dockerfile's own where they are present or can be pulled.
set -euo pipefail

release_dir=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
nodes=5
export COMPOSE_PROJECT_NAME=quarry-test QUARRY_IMAGE=quarry:test
network=${COMPOSE_PROJECT_NAME}_default
scratch=$(mktemp -d)

skip() {
    echo "skipped: containers: $1"
    exit 77
}

say() { echo "containers: $*"; }

# check WHAT COMMAND…: says what holds, or ends the test when it does not.
check() {
    local what=$1
    shift
    "$@" || { say "FAILED: $what"; exit 1; }
    say "$what"
}

# --- Nodes. The ids are those of the containers, by the number of the replica.
ids=()
find_containers() {
    local i
    ids=()
    for ((i = 1; i <= nodes; i++)); do
        ids[i]=$(docker ps --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
            --filter "label=com.docker.compose.container-number=$i")
    done
}

# node N COMMAND…: runs `quarry COMMAND…` inside container N.
node() {
    local i=$1
    shift
    docker exec "${ids[i]}" quarry "$@"
}
height() { node "$1" rpc getblockcount; }
tip() { node "$1" rpc getbestblockhash; }

# --- What is waited for.
# wait_for SECONDS WHAT COMMAND…: until the command succeeds.
wait_for() {
    local limit=$1 what=$2 start=$SECONDS
    shift 2
    until "$@" 2> "$scratch/last-error"; do
        if ((SECONDS - start >= limit)); then
            say "FAILED: not within $limit s: $what. $(cat "$scratch/last-error")"
            return 1
        fi
        sleep 0.5
    done
    say "$what ($((SECONDS - start)) s)"
}

healthy() {
    local i
    for i in "$@"; do
        [ "$(docker inspect --format '{{.State.Health.Status}}' "${ids[i]}")" = healthy ] || return 1
    done
}

connected() {
    local i
    for ((i = 1; i <= nodes; i++)); do
        [ "$(node "$i" rpc getconnectioncount)" -ge $((nodes - 1)) ] || return 1
    done
}

# All have one tip. They are asked at the same time, since the next block is never far.
agree() {
    local i jobs=()
    for ((i = 1; i <= nodes; i++)); do
        tip "$i" > "$scratch/tip-$i" &
        jobs+=($!)
    done
    for i in "${jobs[@]}"; do
        wait "$i" || return 1
    done
    [ -s "$scratch/tip-1" ] && [ "$(cat "$scratch"/tip-[0-9] | sort -u | wc -l)" = 1 ]
}

each_has_mined() {
    local i
    for ((i = 1; i <= nodes; i++)); do
        [[ $(node "$i" rpc getbalance) =~ [1-9] ]] || return 1
    done
}

height_at_least() { [ "$(height "$1")" -ge "$2" ]; }

# pay N: node N pays 1.25 to the next node's address.
addresses=()
payments=()
pay() { payments[$1]=$(node "$1" rpc sendtoaddress "${addresses[$1 % nodes + 1]}" 1.25); }

# The payment to each address is confirmed, as every node sees it. One that is gone, because it spent the reward of a
# block that lost, is made again.
payments_confirmed() {
    local i address
    for ((i = 1; i <= nodes; i++)); do
        node "$i" rpc getrawtransaction "${payments[i]}" > /dev/null || pay "$i"
        for address in "${addresses[@]}"; do
            [ "$(node "$i" get-balance --address "$address")" = "Balance of '$address': 1.25" ] || return 1
        done
    done
}

lacks_block() { ! node "$1" rpc getblockheader "$2" > /dev/null 2>&1; }

finish() {
    local status=$? i
    set +e
    if ((status != 0 && status != 77)); then
        for ((i = 1; i <= nodes; i++)); do
            [ -n "${ids[i]:-}" ] || continue
            echo "--- node $i: $(docker inspect --format '{{.State.Status}}, {{.State.Health.Status}}' "${ids[i]}")"
            docker logs --tail 25 "${ids[i]}" 2>&1
        done
    fi
    if ((status != 77)); then
        "$root/deploy/network" --down --volumes > "$scratch/down.log" 2>&1 || cat "$scratch/down.log"
        docker image rm "$QUARRY_IMAGE" > /dev/null 2>&1
        docker container prune --force --filter label=quarry.stage=builder > /dev/null # what a failed build left
        docker image prune --force --filter label=quarry.stage=builder > /dev/null
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT

# --- What this needs.
command -v docker > /dev/null || skip "docker is not installed"
docker info > /dev/null 2>&1 || skip "the Docker engine does not answer"
compose=(docker compose)
if ! docker compose version > /dev/null 2>&1; then
    command -v docker-compose > /dev/null || skip "Compose is not installed"
    compose=(docker-compose)
fi
if [ -n "${BUILDER_IMAGE:-}" ] && [ -n "${RUNTIME_IMAGE:-}" ]; then
    say "base images from the environment: $BUILDER_IMAGE, $RUNTIME_IMAGE"
elif [ "$(id -u)" = 0 ] && command -v debootstrap > /dev/null && command -v rustc > /dev/null; then
    { read -r BUILDER_IMAGE && read -r RUNTIME_IMAGE; } < <("$root/tests/containers/stand-ins.sh" "$release_dir") ||
        { say "FAILED: no stand-ins for the base images"; exit 1; }
    export BUILDER_IMAGE RUNTIME_IMAGE
else
    BUILDER_IMAGE=$(sed -n 's/^ARG BUILDER_IMAGE=//p' "$root/Dockerfile")
    RUNTIME_IMAGE=$(sed -n 's/^ARG RUNTIME_IMAGE=//p' "$root/Dockerfile")
    for image in "$BUILDER_IMAGE" "$RUNTIME_IMAGE"; do
        docker image inspect "$image" > /dev/null 2>&1 || docker pull --quiet "$image" > /dev/null 2>&1 ||
            skip "no base image $image, and only root with debootstrap can make a stand-in"
    done
    export BUILDER_IMAGE RUNTIME_IMAGE
fi

# --- The network.
export COMPOSE_FILE=$root/deploy/compose.yaml
spacing=10
if [ -z "${QUARRY_TEST_LONG:-}" ]; then
    spacing=2
    "$release_dir/quarry" --chain dev chain show |
        sed -e "s/^name = .*/name = \"quick\"/" -e "s/^target_spacing = .*/target_spacing = $spacing/" \
            -e "s/^half_life = .*/half_life = $((spacing * 10))/" > "$scratch/spec.toml"
    check "the nodes run dev with a block every $spacing s" grep -q "^target_spacing = $spacing\$" "$scratch/spec.toml"
    chmod 755 "$scratch"
    printf 'services:\n  node:\n    volumes: ["%s:/spec.toml:ro"]\n' "$scratch/spec.toml" > "$scratch/spec.yaml"
    COMPOSE_FILE+=:$scratch/spec.yaml
    export QUARRY_CHAIN=/spec.toml
fi

"$root/deploy/network" --down --volumes > /dev/null 2>&1 || true # what an interrupted run left
"$root/deploy/network" --num-nodes $nodes > "$scratch/up.log" 2>&1 || { tail -n 40 "$scratch/up.log"; exit 1; }
find_containers
say "$nodes containers are up"

check "the node does not run as root" test "$(docker exec "${ids[1]}" id -u)" != 0
added=$(($(docker image inspect --format '{{.Size}}' "$QUARRY_IMAGE") -
    $(docker image inspect --format '{{.Size}}' "$RUNTIME_IMAGE")))
check "the image adds $((added / 1000000)) MB to its base, at most 80" test "$added" -le 80000000

wait_for 90 "all are healthy" healthy 1 2 3 4 5
wait_for 60 "each is connected to the four others" connected
wait_for $((spacing * 120)) "each has mined" each_has_mined
wait_for $((spacing * 15)) "all have one tip" agree

for ((i = 1; i <= nodes; i++)); do
    addresses[i]=$(node "$i" rpc getnewaddress)
done
for ((i = 1; i <= nodes; i++)); do
    pay "$i"
done
wait_for $((spacing * 30)) "each has paid the next, as all see" payments_confirmed

# --- One is cut off.
blocks=20
docker network disconnect "$network" "${ids[5]}"
cut=$(height 1)
alone=$(height 5)
wait_for $((spacing * blocks * 5)) "the four made $blocks blocks without the fifth" height_at_least 1 $((cut + blocks))
wait_for $((spacing * blocks * 5)) "the fifth made one alone" height_at_least 5 $((alone + 1))
alone_tip=$(tip 5)
shared=$(node 1 rpc getblockhash $((cut + blocks / 2)))
check "no block of the fifth reached the four" lacks_block 1 "$alone_tip"
check "no block of the four reached the fifth" lacks_block 5 "$shared"
docker network connect "$network" "${ids[5]}"
wait_for $((60 + spacing * 15)) "joined again, all have one tip" agree
check "it is the chain of the four; the fifth gave up its own" \
    test "$(node 5 rpc getblockhash $((cut + blocks / 2)))" = "$shared"

# --- All are ended and started again.
before=$(height 1)
for ((i = 1; i <= nodes; i++)); do
    node "$i" list-addresses > "$scratch/addresses-$i"
done
"$root/deploy/network" --down > /dev/null 2>&1
ids=()
# From the same image, even if the source was edited meanwhile.
"${compose[@]}" up --no-build --detach --scale node=$nodes > "$scratch/up.log" 2>&1 ||
    { tail -n 40 "$scratch/up.log"; exit 1; }
find_containers
wait_for 90 "made anew, all are healthy" healthy 1 2 3 4 5
for ((i = 1; i <= nodes; i++)); do
    check "node $i has its own wallet again" cmp "$scratch/addresses-$i" <(node "$i" list-addresses)
    check "node $i has its chain again" height_at_least "$i" "$before"
done
wait_for $((60 + spacing * 15)) "and they agree" agree
say "passed"
