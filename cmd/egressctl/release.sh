#!/usr/bin/env bash
# Builds egressctl for platforms, an archive each, with checksums and krew's manifest. Of one source all of it is always the same.
#   release.sh FOLDER VERSION LDFLAGS PLATFORM...
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$1 version=$2 ldflags=$3
shift 3
rm -rf "$folder"
mkdir -p "$folder"
for platform in "$@"; do
	os=${platform%/*} arch=${platform#*/} program=egressctl
	[ "$os" != windows ] || program=egressctl.exe
	mkdir "$folder/$os-$arch"
	(cd "$root" && CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= $ldflags" -o "$folder/$os-$arch/$program" ./cmd/egressctl)
	install -m 644 "$root/LICENSE" "$folder/$os-$arch/LICENSE"
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=go-w --format=ustar -C "$folder/$os-$arch" -cf - LICENSE "$program" |
		gzip -9n >"$folder/egressctl_${os}_$arch.tar.gz"
done
cd "$folder"
sha256sum ./*.tar.gz | sed 's| \./| |' >checksums.txt

# Each line of addURIAndSha becomes the archive and its checksum; a platform that was not built has none.
sed -e 's|{{ .TagName }}|'"$version"'|g' "$root/.krew.yaml" | while IFS= read -r line; do
	if [[ $line =~ addURIAndSha\ \"(.*)\"\ .TagName ]]; then
		uri=${BASH_REMATCH[1]}
		sum=$(awk -v name="${uri##*/}" '$2 == name {print $1}' checksums.txt)
		printf '    uri: %s\n    sha256: %s\n' "$uri" "$sum"
		continue
	fi
	printf '%s\n' "$line"
done >egress.yaml
