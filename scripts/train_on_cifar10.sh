#!/usr/bin/env bash
# CIFAR-10 by the way of tensorflow/inception, from the archive to a frozen graph:
# 1. writes the pictures, upright, into a folder for each of the ten classes, and labels.txt,
# 2. turns them into records with build_image_data, whose labels count from 1,
# 3. trains a net of ten classes: --labels_offset=1 leaves out the background class 0,
# 4. evaluates it, exports and freezes it, and classifies a picture.
# A run that was stopped goes on where it left off. Nothing is downloaded: ARCHIVE is
# cifar-10-python.tar.gz or cifar-10-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html,
# or the folder of what is in it.
# Expect, on two cores of a server CPU: 0.3 s a step, so 50 minutes for the 10,000 steps. What
# accuracy they reach has not been measured.
#
#   scripts/train_on_cifar10.sh ARCHIVE [OUTPUT]
set -euo pipefail

ARCHIVE=${1:?cifar-10-python.tar.gz, or the folder of its batches}
OUTPUT=${2:-cifar10}
MODEL=${MODEL:-cifarnet}
STEPS=${STEPS:-10000}
BATCH_SIZE=${BATCH_SIZE:-64}
PYTHON=${PYTHON:-python}

HERE=$(cd "$(dirname "$0")/.." && pwd)
PICTURES=$OUTPUT/pictures
DATA_DIR=$OUTPUT/records
TRAIN_DIR=$OUTPUT/train_dir

slim() { "$PYTHON" "$HERE/$1.py" "${@:2}"; }

if [ ! -e "$PICTURES" ]; then
  slim scripts/cifar10_to_folders --archive="$ARCHIVE" --output_directory="$PICTURES"
fi
if [ ! -e "$DATA_DIR/dataset.json" ]; then
  slim scripts/build_image_data --output_directory="$DATA_DIR" \
    --train_directory="$PICTURES/train" --validation_directory="$PICTURES/validation" \
    --labels_file="$PICTURES/labels.txt" --train_shards=2 --validation_shards=2 --num_threads=2 \
    | grep -v '^Converting PNG to JPEG for '
fi

slim train_image_classifier --dataset_dir="$DATA_DIR" --train_dir="$TRAIN_DIR" \
  --model_name="$MODEL" --labels_offset=1 --batch_size="$BATCH_SIZE" \
  --max_number_of_steps="$STEPS" --optimizer=momentum --learning_rate=0.02 \
  --learning_rate_decay_type=polynomial --weight_decay=0.004
slim eval_image_classifier --checkpoint_path="$TRAIN_DIR" --eval_dir="$TRAIN_DIR/eval"

slim export_inference_graph --train_dir="$TRAIN_DIR" --output_file="$OUTPUT/inference_graph.pb"
slim freeze_graph --input_graph="$OUTPUT/inference_graph.pb" --input_checkpoint="$TRAIN_DIR" \
  --output_graph="$OUTPUT/frozen_graph.pb"
slim classify_image --model_path="$OUTPUT/frozen_graph.pb" \
  "$(find "$PICTURES/validation" -name '*.png' | sort | head -n 1)"
