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
compile --extra serve --extra story ../../pyproject.toml -o "$ranges"
for service in audio_sentiment translator generator composer; do
    compile --generate-hashes --constraints "$ranges" "$service.in" -o "$service.txt" ${1:+"$1"}
done
# onnxruntime and onnxruntime-gpu overwrite each other: the override takes the first out.
grep -v '^onnxruntime==' "$ranges" > "$ranges.gpu"
trap 'rm -f "$ranges" "$ranges.gpu"' EXIT
compile --generate-hashes --constraints "$ranges.gpu" --overrides no-cpu-runtime.in generator-gpu.in \
    -o generator-gpu.txt ${1:+"$1"}
