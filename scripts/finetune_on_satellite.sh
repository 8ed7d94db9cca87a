#!/usr/bin/env bash
# The satellite tutorial's job, from tiles to a frozen graph:
# 1. turns the folders train/CLASS and validation/CLASS into shards,
# 2. trains a new head on a pretrained net, then all layers, and keeps the best checkpoint,
# 3. evaluates that,
# 4. exports and freezes the net, and classifies a tile.
# A run that was stopped goes on where it left off.
# Time and accuracy: docs/accuracy.md.
#
#   scripts/finetune_on_satellite.sh IMAGES CHECKPOINT [OUTPUT]
set -euo pipefail

IMAGES=${1:?folder with train/CLASS and validation/CLASS}
CHECKPOINT=${2:?inception_v3.ckpt}
OUTPUT=${3:-satellite}
MODEL=${MODEL:-inception_v3}
IMAGE_SIZE=${IMAGE_SIZE:-160}
MINUTES=${MINUTES:-8}
PYTHON=${PYTHON:-python}

HERE=$(cd "$(dirname "$0")/.." && pwd)
DATA_DIR=$OUTPUT/data
TRAIN_DIR=$OUTPUT/train_dir

slim() { "$PYTHON" "$HERE/$1.py" "${@:2}"; }

if [ ! -e "$DATA_DIR/dataset.json" ]; then
  slim data_convert -t "$IMAGES" --output_dir="$DATA_DIR" --dataset_name=satellite
fi

# Pictures from above have no up, all show the ground from one height, and their colours say much.
slim train_image_classifier --dataset_dir="$DATA_DIR" --train_dir="$TRAIN_DIR" \
  --model_name="$MODEL" --checkpoint_path="$CHECKPOINT" --recipe=fine_tune \
  --max_minutes="$MINUTES" --train_image_size="$IMAGE_SIZE" --eval_every_epochs=3 \
  --rotation=right_angles --vertical_flip --min_crop_area=0.75 --brightness=0 --saturation=0
slim eval_image_classifier --dataset_dir="$DATA_DIR" --checkpoint_path="$TRAIN_DIR/best" \
  --eval_dir="$TRAIN_DIR/eval"

slim export_inference_graph --train_dir="$TRAIN_DIR" --output_file="$OUTPUT/inference_graph.pb"
slim freeze_graph --input_graph="$OUTPUT/inference_graph.pb" \
  --input_checkpoint="$TRAIN_DIR/best" --output_graph="$OUTPUT/frozen_graph.pb"
slim classify_image --model_path="$OUTPUT/frozen_graph.pb" \
  "$(find "$IMAGES/validation" -type f ! -name '.*' | sort | head -n 1)"
