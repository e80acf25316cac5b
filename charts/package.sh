#!/usr/bin/env bash
# Packages the chart of a release, which takes the image from where that was pushed to, by its digest.
#   package.sh HELM FOLDER VERSION REGISTRY DIGEST
set -euo pipefail
helm=$1 folder=$2 version=${3#v} registry=$4 digest=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$(dirname "${BASH_SOURCE[0]}")/egress-governor" "$work/"

# set_value writes a value that is empty in the chart, where it stands.
set_value() {
	[ "$(grep -c "^  $1: \"\"\$" "$work/egress-governor/values.yaml")" = 1 ] || { echo "values.yaml has not one empty $1" >&2; exit 1; }
	sed -i.before "s|^  $1: \"\"\$|  $1: $2|" "$work/egress-governor/values.yaml"
	rm "$work/egress-governor/values.yaml.before"
}
set_value imageRegistry "$registry"
set_value digest "$digest"
"$helm" package "$work/egress-governor" --version "$version" --app-version "$version" --destination "$folder" >/dev/null
