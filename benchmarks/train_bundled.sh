#!/usr/bin/env bash
# Trains the bundled model again from the rendered training frames: stills -> shot faces -> facesets -> comb.
# Usage: benchmarks/train_bundled.sh WORK     (eight and a half hours on one core)     shared data in $BODYDOUBLE_SHARED (default ../shared)
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

facesets=("$work/facesets/A" "$work/facesets/B" "$work/facesets/C")
small=(--resolution 256 --width quarter --batch 6 --mirror --shape)
# A short end without warp, at a low rate, brings back the sharpness that warp costs, and keeps what it taught.
bodydouble train "${facesets[@]}" -o "$work/rendered.comb" "${small[@]}" --warp --iterations 20,20,60,550,500,400,5750 \
    --settle 0.1512 --learning-rate 4e-4 --settle-learning-rate 1e-5
short_end=("${small[@]}" --learning-rate 1e-4 --settle-learning-rate 1e-5)
bodydouble train "${facesets[@]}" -o "$work/rendered.comb" "${short_end[@]}" --iterations 20,20,60,550,500,400,7051 --settle 0.02446
# Then the finest structure of a face counts for much more, and all of that once again.
fine=(--detail-weight 1.5 --loss-span 0.1)
bodydouble train "${facesets[@]}" -o "$work/rendered.comb" "${short_end[@]}" "${fine[@]}" --iterations 20,20,60,550,500,400,7367 --settle 0.0112145
bodydouble train "${facesets[@]}" -o "$work/rendered.comb" "${small[@]}" "${fine[@]}" --warp --iterations 20,20,60,550,500,400,8367 \
    --settle 0.02784 --learning-rate 3e-4 --settle-learning-rate 1.14e-4
bodydouble train "${facesets[@]}" -o "$work/rendered.comb" "${short_end[@]}" "${fine[@]}" --iterations 20,20,60,550,500,400,8651 --settle 0.0211112
# At last how strong it is, wherever it lies.
fine+=(--texture-weight 1)
bodydouble train "${facesets[@]}" -o "$work/rendered.comb" "${small[@]}" "${fine[@]}" --warp --iterations 20,20,60,550,500,400,9672 \
    --settle 0.026037 --learning-rate 3e-4 --settle-learning-rate 1e-4
bodydouble train "${facesets[@]}" -o "$work/rendered.comb" "${short_end[@]}" "${fine[@]}" --iterations 20,20,60,550,500,400,9972 --settle 0.0237248
