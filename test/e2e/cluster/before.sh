#!/usr/bin/env bash
# Builds the chart and the image of earlier revisions of this tree, for the upgrades from them.
#   before.sh FOLDER REVISION…    prints a line of revision, as git describes it, folder of the chart and image for each
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
folder=$1
shift
for revision in "$@"; do
	name=$(echo "$revision" | tr -c 'A-Za-z0-9.\n' -)
	tree=$folder/$name
	image=egress-governor:before-$name
	rm -rf "$tree"
	mkdir -p "$tree"
	git archive "$revision" | tar -x -C "$tree"
	MAKEFLAGS= make --no-print-directory -C "$tree" image IMAGE="$image" VERSION="before-$name" SOURCE_DATE_EPOCH=0 >&2
	echo "$(git describe --tags --always "$revision") $tree/charts/egress-governor $image"
done
