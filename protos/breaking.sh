#!/usr/bin/env bash
# Checks that the contract breaks no caller of an earlier one: bash protos/breaking.sh [REF]
# Without REF the earlier one is what main had before: its tip as seen from a branch, its last but one commit on main.
set -euo pipefail

commit() { git rev-parse --quiet --verify "$1^{commit}"; }

main=$(commit origin/main || commit main || true)
if [ $# -gt 0 ]; then
  before=$(commit "$1") || { echo "protos: there is no commit '$1' here" >&2; exit 2; }
elif [ -n "$main" ] && [ "$main" != "$(commit HEAD || true)" ]; then
  before=$main
else
  before=$(commit HEAD~1 || true)
fi
if [ -z "$before" ] || ! git cat-file -e "$before:protos/buf.yaml" 2>/dev/null; then
  echo "protos: no earlier contract in this clone (shallow, or the first commit): nothing to compare with"
  exit 0
fi
earlier=$(mktemp -d)
trap 'rm -rf "$earlier"' EXIT
git archive "$before" protos | tar -x -C "$earlier"
buf breaking protos --against "$earlier/protos"
echo "protos: nothing breaks against $(git rev-parse --short "$before")"
