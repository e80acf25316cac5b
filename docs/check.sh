#!/usr/bin/env bash
# Runs the opa commands of policies.md, literally, on the policy and the test that stand there.
#   check.sh OPA
set -euo pipefail
docs=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
opa() { "$binary" "$@"; }
binary=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$docs/../policies" "$folder/library" # as egressctl library --write makes it

# block FIRST: the indented block that begins with the line FIRST.
block() {
	awk -v first="    $1" '$0 == first {on = 1} on && $0 != "" && !/^    / {exit} on {sub(/^    /, ""); print}' "$docs/policies.md"
}
block '# METADATA' >"$folder/owned.rego"
block 'package owned_test' >"$folder/owned_test.rego"

ran=0
cd "$folder"
while read -r line; do
	echo "$line"
	eval "$line"
	ran=$((ran + 1))
done < <(sed -n 's/^    \(opa .*\)/\1/p' "$docs/policies.md")
[ "$ran" -ge 2 ] || { echo "policies.md has no commands"; exit 1; }
