#!/bin/sh
# assemble.sh IMAGE NODE TARBALL TORCH ADDON: puts what an image holds besides its base system into the folder IMAGE.
#
# The Containerfiles call it, and so does the test that has no base images (test/campaign/container.test.ts).
set -eu
image=$1 node=$2 tarball=$3 torch=$4 addon=$5
here=$(dirname "$0")
app=$image/opt/preftune

mkdir -p "$image/usr/local/bin" "$app" "$image/opt/torch/lib" "$image/models" "$image/runs"
cp "$node" "$image/usr/local/bin/node"
npm install --prefix "$app" --omit=dev --ignore-scripts --no-audit --no-fund --no-save "$tarball"
ln -s /opt/preftune/node_modules/preftune/bin/preftune.mjs "$image/usr/local/bin/preftune"
cp "$addon" "$app/preftune.node"
# the part for several GPUs, where torch has CUDA
[ ! -e "$(dirname "$addon")/nccl.node" ] || cp -L "$(dirname "$addon")/nccl.node" "$app/"
cp "$here/health.mjs" "$here/quickstart.mjs" "$app/"

# the libraries that the addon opens; torch's Python half and its tests stay behind
for library in "$torch"/lib/*.so*; do
  case ${library##*/} in
    *python* | *jitbackend* | *backend_with_compiler* | *torchbind_test*) ;;
    *) cp -L "$library" "$image/opt/torch/lib/" ;;
  esac
done

# the user of the image, and the folders it may write
chown 10001:10001 "$image/models" "$image/runs"
