#!/bin/sh
# Builds reconciler for the platforms that hosts may have, as static programs named reconciler-GOOS-GOARCH (arm with its version, as in armv7): the agents that a
# controller copies to hosts of another platform than its own. The same source, version and Go make the same bytes, wherever and whenever it is run.
#
# usage: hack/agents.sh [-o FOLDER] [GOOS/GOARCH]...    without -o into bin/agents; without platforms: linux amd64, arm64 and armv7, darwin amd64 and arm64, windows amd64
#
# A reconciler finds them in the folder agents beside its own program, in ../lib/reconciler/agents from there, or where --agents or RECONCILER_AGENTS says.
# VERSION is what they call themselves; what git describes without.
set -eu

folder=
case ${1:-} in
  -o)
    [ $# -ge 2 ] || { echo "hack/agents.sh: -o wants a folder" >&2; exit 2; }
    folder=$2
    shift 2
    ;;
  -*)
    echo "usage: hack/agents.sh [-o FOLDER] [GOOS/GOARCH]..." >&2
    exit 2
    ;;
esac
[ $# -gt 0 ] || set -- linux/amd64 linux/arm64 linux/armv7 darwin/amd64 darwin/arm64 windows/amd64

case $folder in
  '' | /*) ;;
  *) folder=$PWD/$folder ;;
esac
cd "$(dirname "$0")/.."
folder=${folder:-$PWD/bin/agents}
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo devel)}

# What a person set for builds of their own must not change these.
unset GOFLAGS GOEXPERIMENT GOARM
export CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0

for platform; do
  system=${platform%%/*} arch=${platform#*/} suffix=
  case $platform in
    */*/* | /* | */ | *[!a-z0-9/]*) system= ;;
    */armv[567])
      export GOARM="${arch#armv}"
      arch=arm
      ;;
    windows/*) suffix=.exe ;;
    */*) ;;
    *) system= ;;
  esac
  [ -n "$system" ] || { echo "hack/agents.sh: $platform is no platform; it is written GOOS/GOARCH, as linux/arm64" >&2; exit 2; }
  [ "$arch" = arm ] || unset GOARM
  file=$folder/reconciler-$system-${platform#*/}$suffix
  mkdir -p "$folder"
  # The file is made beside its place and moved: a controller that looks meanwhile finds all of it or none.
  GOOS=$system GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" -o "$file.part" ./cmd/reconciler
  mv "$file.part" "$file"
  echo "$file"
done
