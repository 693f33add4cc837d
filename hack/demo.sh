#!/bin/sh
# Shows reconciler at work on this machine: apply, get, diff, a kill -9 that heals, delete. Run it with `make demo`, which builds what it needs.
#
# usage: hack/demo.sh [DIR]    DIR holds the binaries reconciler and hello; bin without it
#
# It works on a copy of examples/manifests in a folder of its own, keeps its records there too, and needs the ports 28101 and 28102 of 127.0.0.1.
# However it ends, it takes away what it made: the daemons, then the folder.
set -eu
cd "$(dirname "$0")/.."
bin=$(cd "${1:-bin}" 2>/dev/null && pwd) || { echo "hack/demo.sh: there is no folder ${1:-bin} yet: run make demo" >&2; exit 1; }
for built in reconciler hello; do
  [ -x "$bin/$built" ] || { echo "hack/demo.sh: there is no $bin/$built yet: run make demo" >&2; exit 1; }
done

demo=$(mktemp -d "${TMPDIR:-/tmp}/reconciler-demo.XXXXXX")
manifests=$demo/examples/manifests
config=$demo/hello.json
loop=
export RECONCILER_STATE_DIR="$demo/state" RECONCILER_DRIVERS=process
PATH="$bin:$PATH"

end() {
  code=$?
  trap '' INT TERM HUP
  trap - EXIT
  [ -z "$loop" ] || { kill -TERM "$loop" 2>/dev/null || :; wait "$loop" || :; }
  if [ "$code" -ne 0 ]; then
    echo "hack/demo.sh: stopped early (exit $code); taking away what it made" >&2
    [ ! -s "$demo/run.log" ] || sed 's/^/  run: /' "$demo/run.log" >&2
    reconciler logs hello --tail=5 2>/dev/null | sed 's/^/  hello: /' >&2 || :
  fi
  if reconciler delete --ignore-not-found -f "$manifests" >"$demo/delete.log" 2>&1; then
    rm -rf "$demo"
  else
    cat "$demo/delete.log" >&2
    echo "hack/demo.sh: daemons may be left; their records are in $RECONCILER_STATE_DIR" >&2
    [ "$code" -ne 0 ] || code=1
  fi
  exit "$code"
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
say() { printf '\n%s# %s%s\n' "$bold" "$1" "$plain"; }
show() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }
do_() { show "$@"; "$@"; }

pid_of() { reconciler get "$1" -o json | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p' | head -n 1; }

mkdir -p "$demo/bin" "$manifests"
cp "$bin/hello" "$demo/bin/hello"
for file in examples/manifests/*.yaml; do
  sed "s|/tmp/reconciler-hello/hello.json|$config|" "$file" >"$manifests/${file##*/}"
done
cd "$demo"

say 'Two daemons as YAML. world starts once hello answers its health URL.'
do_ reconciler apply -f examples/manifests --wait --timeout=30s
do_ reconciler get

say 'Apply again: there is nothing to do, and nothing is restarted.'
do_ reconciler apply -f examples/manifests

say 'An edit: another greeting for hello, another name for world.'
sed 's/"Hello"/"Good morning"/' "$manifests/hello.yaml" >"$demo/edit" && mv "$demo/edit" "$manifests/hello.yaml"
sed 's/-name=world/-name=everyone/' "$manifests/world.yaml" >"$demo/edit" && mv "$demo/edit" "$manifests/world.yaml"
show reconciler diff -f examples/manifests
code=0
reconciler diff -f examples/manifests || code=$?
[ "$code" -eq 1 ] || { echo "hack/demo.sh: diff exited $code; 1 says that there are differences" >&2; exit 1; }
do_ reconciler apply -f examples/manifests --wait --timeout=30s
do_ reconciler logs hello --tail=12

say 'Keep it so: run watches the folder and the processes. kill -9, and it heals.'
show reconciler run -f examples/manifests
reconciler run -f examples/manifests >"$demo/run.log" 2>&1 &
loop=$!
reconciler wait --for=condition=Ready hello world --timeout=30s
before=$(pid_of hello)
[ -n "$before" ] || { echo 'hack/demo.sh: get shows no PID for hello' >&2; exit 1; }
do_ kill -9 "$before"
tries=0 after=$before
while [ -z "$after" ] || [ "$after" = "$before" ]; do
  tries=$((tries + 1))
  [ "$tries" -le 100 ] || { echo "hack/demo.sh: no new hello within 10 s of kill -9 $before" >&2; exit 1; }
  sleep 0.1
  after=$(pid_of hello)
done
do_ reconciler wait --for=condition=Ready hello --timeout=30s
do_ reconciler get
echo "hello was process $before and is $after now."

say 'Stop run: the daemons stay.'
kill -TERM "$loop"
wait "$loop" || :
loop=
do_ reconciler get -o wide
do_ reconciler events

say 'And away with it.'
do_ reconciler delete -f examples/manifests
do_ reconciler get
