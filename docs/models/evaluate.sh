#!/bin/sh
# Prints every table of the model cards: evaluate.sh DATA [SONGS]. DATA holds music/, oasis/ and pictures/; caches go to build/eval.
set -eu
data=$1
songs=${2:-}
deepsing=.venv/bin/deepsing
engine=services/generator/weights/canvas.onnx
work=build/eval
mkdir -p "$work/features" "$work/songs" "$work/styles"

title() { printf '\n== %s\n' "$*"; }

if [ -z "$songs" ]; then # ten songs, evenly from the four genres of Emotify
	songs=$work/songs
	find "$songs" -type l -delete
	find "$(cd "$data/music/emotify" && pwd)" -name '*.opus' | sort | awk 'NR % 30 == 15' | while read -r song; do
		ln -s "$song" "$songs/"
	done
fi

title "audio sentiment: the shipped model, which was trained on these songs"
"$deepsing" eval audio --data "$data/music"
title "audio sentiment: does the reading follow when the music changes (the shipped model knows these songs)"
"$deepsing" eval passages --data "$data/music/panda4q"
title "audio sentiment: cross-validated"
if [ ! -d "$work/musicnn/MSD_musicnn" ]; then
	.venv/bin/python -m pip download --quiet --no-deps --dest "$work" musicnn==0.1.0
	.venv/bin/python -m zipfile -e "$work"/musicnn-0.1.0-*.whl "$work"
fi
"$deepsing" train audio --data "$data/music" --musicnn "$work/musicnn" --cache "$work/features" \
	--weights "$work" --evaluate
title "audio sentiment: the third of the groups that no choice was made on, by models of the other two thirds"
"$deepsing" train audio --data "$data/music" --musicnn "$work/musicnn" --cache "$work/features" \
	--weights "$work/kept" --kept
"$deepsing" eval passages --data "$data/music/panda4q" --songs kept --weights "$work/kept"
title "audio sentiment: the original's model, and its features with a linear head, on the same songs and folds"
"$deepsing" train audio --model deepsing-mlp --data "$data/music" --cache "$work/features" --evaluate
.venv/bin/python -m training.audio_sentiment.baselines.linear --data "$data/music" --cache "$work/features"
title "beats, onsets and tempo"
"$deepsing" eval beats --data "$data/music/vgmidi" --renderings "$work/renderings"
"$deepsing" eval beats --data "$data/music/vgmidi" --renderings "$work/renderings" --hearing live
title "image sentiment"
"$deepsing" eval image-sentiment --oasis "$data/oasis" --engine "$engine"
title "the canvas engine"
"$deepsing" eval generator --images "$data/pictures"
title "translators"
"$deepsing" eval translator --engine "$engine" --backbone services/translator/weights/eyes.onnx
title "styles"
"$deepsing" eval styles --engine "$engine" --styles services/generator/weights/painting.onnx --cache "$work/styles"
title "stories"
"$deepsing" eval story --songs "$songs" --limit-s 60
title "motion"
"$deepsing" eval motion --songs "$songs" --limit-s 60
