#!/usr/bin/env bash
# Trains the bundled model again from the rendered training frames: stills -> shot faces -> facesets -> comb.
# Usage: benchmarks/train_bundled.sh WORK     (four and a half hours on one core)     shared data in $BODYDOUBLE_SHARED (default ../shared)
set -euo pipefail
cd "$(dirname "$0")/.."
work="${1:?name a folder to work in}"
frames="${BODYDOUBLE_SHARED:-../shared}/synth/train"
test -d "$frames" || { echo "no training frames in $frames; set BODYDOUBLE_SHARED" >&2; exit 3; }
mkdir -p "$work"

for persona in A B C; do
    plate="$frames/$persona/${persona}_####.jpg"
    # Exit code 4 says that some frames show no face that the detector finds: those are left out.
    bodydouble align "$plate" --stills --overwrite -o "$work/$persona.faces.json" || test $? -eq 4
    bodydouble extract "$plate" --faces "$work/$persona.faces.json" --persona "$persona" \
        --min-sharpness 0 --min-difference 0 --rights "benchmarks/rights/$persona.rights.json" -o "$work/facesets/$persona" || test $? -eq 4
done

bodydouble train "$work/facesets/A" "$work/facesets/B" "$work/facesets/C" -o "$work/rendered.comb" \
    --resolution 256 --width quarter --batch 6 --mirror --iterations 20,20,60,550,500,400,3300 \
    --settle 0.2252 --learning-rate 4e-4 --settle-learning-rate 1e-5
