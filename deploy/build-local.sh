#!/bin/sh
# Builds an image and tries it, on a Debian machine without a container engine or an image registry: as root,
# with buildah, runc and mmdebstrap (apt-get install), and whatever package index pip is set up for here.
#   sh deploy/build-local.sh generator           build, start, probe, stop with SIGTERM
# The base is made from Debian packages once and kept as localhost/deepsing-base; an engine with a registry uses the
# Dockerfile's own.
set -eu
service="${1:?say which: audio_sentiment, translator, generator or composer}"
cd "$(dirname "$0")/.."
base=localhost/deepsing-base
image="localhost/deepsing-$(echo "$service" | tr _ -)"

if ! buildah inspect --type image "$base" > /dev/null 2>&1; then
    sources=$(find /etc/apt/sources.list.d /etc/apt/sources.list -maxdepth 1 -name '*.sources' 2> /dev/null | head -n 1)
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv bookworm "$root/base.tar" ${sources:+"$sources"}
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root/base.tar" /
    buildah commit --quiet --rm "$container" "$base"
fi

# What pip is set up with here reaches the build through its environment, and does not stay in the image.
wheels=$(mktemp -d)
python="${PYTHON:-python3}"
"$python" -m pip download --quiet --no-deps --require-hashes --only-binary=:all: --dest "$wheels" \
    -r "deploy/requirements/$service.txt"
buildah bud --quiet --isolation chroot --format docker -f deploy/Dockerfile --ignorefile deploy/Dockerfile.dockerignore \
    --build-arg "BASE=$base" --build-arg "SERVICE=$service" \
    --build-arg "PIP_OPTIONS=--no-index --find-links=/wheels" --volume "$wheels:/wheels:ro" -t "$image" .
rm -rf "$wheels"
"$python" deploy/try_image.py "$image"
