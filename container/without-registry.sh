#!/bin/sh
# without-registry.sh LAYOUT [WHEELS]: builds the image of container/Containerfile where no registry of images is, into the OCI layout LAYOUT;
# LAYOUT.json is what buildah says of it, the health check included, which OCI's format leaves out.
#
# Needs root, mmdebstrap, buildah, Node 24 and npm on the path. In place of the published images of Debian and Node it makes
# two from Debian's packages, this Node and this npm. WHEELS: a folder that `pip download torch` filled, in place of the
# index that the Containerfile names. What it keeps meanwhile is in LAYOUT.work.
set -eu
layout=$(realpath -m "$1") wheels=${2:-}
source=$(dirname "$0")/..
sources=$(find /etc/apt/sources.list /etc/apt/sources.list.d -name '*.list' -o -name '*.sources' 2>/dev/null || true)
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
certificates=/usr/local/share/certificates.pem
work=$layout.work
node -e 'if (Number.parseInt(process.versions.node) < 24) throw new Error(`expected Node 24 or newer, got ${process.version}`)'
storage() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }
finish() {
  storage umount --all >/dev/null
  if mountpoint -q "$work/storage/overlay"; then umount "$work/storage/overlay"; fi
  rm -rf "$work"
}
trap finish EXIT
mkdir -p "$work"

# what the published slim image leaves out, too
lean=''
for kind in doc man locale info; do lean="$lean --dpkgopt=path-exclude=/usr/share/$kind/*"; done
# shellcheck disable=SC2086
mmdebstrap --variant=minbase $lean "$suite" "$work/debian.tar" $sources

tree=$work/node/usr/local
mkdir -p "$tree/bin" "$tree/lib/node_modules" "$tree/share"
cp "$(node -p process.execPath)" "$tree/bin/node"
cp -R "$(dirname "$(realpath "$(command -v npm)")")/.." "$tree/lib/node_modules/npm"
for name in npm npx; do ln -s "../lib/node_modules/npm/bin/$name-cli.js" "$tree/bin/$name"; done
cp /etc/ssl/certs/ca-certificates.crt "$work/node$certificates"

made=$(storage from scratch)
storage add --quiet "$made" "$work/debian.tar" /
storage commit --quiet "$made" localhost/preftune/debian
storage copy --quiet "$made" "$work/node" /
storage config --env NODE_EXTRA_CA_CERTS="$certificates" --env npm_config_cafile="$certificates" "$made"
storage commit --quiet --rm "$made" localhost/preftune/node

set -- --build-arg NODE=localhost/preftune/node --build-arg DEBIAN=localhost/preftune/debian
if [ -n "$wheels" ]; then
  mkdir "$work/wheels"
  for wheel in "$wheels"/*.whl; do
    name=$(basename "$wheel")
    project=$work/wheels/$(echo "${name%%-*}" | sed 's/[_.]/-/g' | tr A-Z a-z)
    mkdir -p "$project"
    cp "$wheel" "$project/"
    echo "<a href=\"$name\">$name</a>" >>"$project/index.html"
  done
  set -- "$@" --build-arg TORCH_INDEX=file:///wheels --volume "$work/wheels:/wheels:ro"
fi
# the format of Docker: OCI's has no health check
storage build --isolation chroot --format docker "$@" -f "$source/container/Containerfile" -t preftune "$source"
storage push --quiet preftune "oci:$layout:preftune"
storage inspect --type image preftune >"$layout.json"
