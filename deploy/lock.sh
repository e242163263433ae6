#!/bin/sh
# Writes deploy/requirements/*.txt, the exact packages of every image, from the .in files beside them and the
# version ranges of pyproject.toml. Needs uv (`pip install uv`) and a package index; run it from the root.
#   sh deploy/lock.sh             keeps the versions that are locked wherever they still fit
#   sh deploy/lock.sh --upgrade   takes the newest that fit
set -eu
cd "$(dirname "$0")/requirements"
uv="${UV:-uv}"
ranges=$(mktemp)
trap 'rm -f "$ranges"' EXIT
compile() {
    "$uv" pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
        --no-emit-index-url --no-annotate --custom-compile-command "sh deploy/lock.sh" "$@"
}
compile --extra serve --extra story --extra access --extra otel --extra queue --extra s3 ../../pyproject.toml -o "$ranges"
# onnxruntime and onnxruntime-gpu overwrite each other, hence an image, and a lock, for each.
for image in audio_sentiment translator generator generator-gpu composer; do
    compile --generate-hashes --constraints "$ranges" "$image.in" -o "$image.txt" ${1:+"$1"}
done
