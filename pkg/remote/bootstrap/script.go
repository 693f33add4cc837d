package bootstrap

import "strings"

// The scripts are constants. They are handed to /bin/sh in single quotes by whatever shell the account has, so none contains a single quote, an exclamation mark (the
// history of csh), a backslash (an escape in fish) or, once it is joined, a newline (an error in csh). What varies they read from stdin, one line each; every line they
// write begins with linePrefix, so that what login files print before, and what jobs of theirs print meanwhile, is told from it.
const (
	linePrefix = "reconciler-agent "
	beginLine  = linePrefix + "begin"
	endLine    = "end"
)

// common begins both scripts. Nothing is read before the controller has seen the first line: login files that read stdin would take it away.
const common = `
LC_ALL=C; export LC_ALL; umask 077;
o() { printf "%s" "reconciler-agent"; printf " %s" "$@"; echo; };
echo; o begin;`

// probeScript looks at a host. It reads the agent's file, and the folder that it would be copied to, which is empty where nothing is to be copied; then the folder is
// made, and a file of it executed, to see whether that is possible. What else is found in the folder of an agent are parts of copies that were cut off.
const probeScript = common + `
IFS= read -r f; IFS= read -r d;
case $f in /*) ;; */*) f=$HOME/$f ;; *) f=$(command -v "$f") ;; esac;
o user $(id -un 2>/dev/null); o system $(uname -s) $(uname -m);
if command -v gzip >/dev/null 2>&1; then o gzip; fi;
if command -v sudo >/dev/null 2>&1; then o sudo; fi;
if [ -e "$f" ]; then
o file "$f"; o sum $(cksum <"$f" 2>&1); o head $(od -An -tx1 -N20 "$f" 2>&1);
[ -x "$f" ] || o inert $(ls -ld "$f" 2>&1);
fi;
if [ -n "$d" ]; then
case $d in /*) ;; *) d=$HOME/$d ;; esac;
o folder "$d";
if e=$(mkdir -p "$d" 2>&1); then
n=$(uname -n); t=$d/try.$n.$$;
for s in "$d/part.$n".*; do
if [ -f "$s" ]; then kill -0 "${s##*.}" 2>/dev/null || o part "${s##*.}" $(cksum <"$s"); fi;
done;
set -f;
if e=$( { echo exit 0 | cat >"$t" && chmod 700 "$t"; } 2>&1 ) && [ -s "$t" ]; then
e=$("$t" 2>&1) || o noexec $e;
else o unwritable $e; fi;
rm -f "$t";
o free $(df -Pk "$d" 2>&1 | tail -n 1);
else set -f; o unwritable $e; fi;
fi;
o end`

// uploadScript takes a copy of the agent. It reads the folder, the number of a part to continue or nothing, that part's size, what cksum says of the whole, the whole's
// SHA-256, and gzip where that is how the rest comes; says how much it has; reads the rest to the end of stdin; and, where that is the whole (by its size alone where
// there is no cksum), lets it put itself into place. A part is named by this host and process, so that no other copy, not even from a host that shares the folder, writes to it.
const uploadScript = common + `
IFS= read -r d; IFS= read -r p; IFS= read -r c; IFS= read -r k; IFS= read -r h; IFS= read -r z;
case $d in /*) ;; *) d=$HOME/$d ;; esac;
f=$d/reconciler; n=$d/part.$(uname -n); t=$n.$$;
if e=$(mkdir -p "$d" 2>&1); then :; else set -f; o failed $e; o end; exit 1; fi;
rm -f "$t";
if [ -n "$p" ] && mv "$n.$p" "$t" 2>/dev/null; then
[ $(wc -c <"$t") = "$c" ] || rm -f "$t";
fi;
for s in "$n".*; do kill -0 "${s##*.}" 2>/dev/null || rm -f "$s"; done;
set -f;
if e=$( { cat </dev/null >>"$t"; } 2>&1 ); then :; else o failed $e; o end; exit 1; fi;
o have $(wc -c <"$t");
if [ "$z" = gzip ]; then e=$( { gzip -dc >>"$t"; } 2>&1 ); else e=$( { cat >>"$t"; } 2>&1 ); fi;
r=$?;
set -- $(cksum <"$t" 2>/dev/null || wc -c <"$t");
case $k in
"$*"|*" $*") chmod 700 "$t"; e=$("$t" agent --install "$h" "$f" 2>&1); r=$?;
[ $r = 0 ] || rm -f "$t";
o installed $r $e ;;
*) case $e in *[Ss]pace*|*[Qq]uota*) rm -f "$t" ;; esac;
o short $# $e ;;
esac;
o end`

// scriptCommand is the command that runs a script.
func scriptCommand(script string) string {
	return "exec /bin/sh -c '" + strings.ReplaceAll(strings.TrimSpace(script), "\n", " ") + "'"
}
