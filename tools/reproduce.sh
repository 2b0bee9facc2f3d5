#!/usr/bin/env bash
# reproduce.sh shapes|search|cifar10 [--data DIR] [--seeds N] [--out FOLDER] [--build FOLDER] [--jobs N] [--split SPLIT]
#   [--only ROW[,ROW...]] [-- PRETRAIN_OPTIONS]
# shapes: trains every objective and its controls on the rendered data set with equal steps and prints a table.
# search: the same for other values of the main coefficients, judged on the validation images.
# cifar10: trains every objective on CIFAR-10 (in DIR), ten epochs of a narrow encoder. Takes hours.
# Uses one process per core. Restartable: keeps finished runs and resumes interrupted ones from their checkpoints.
#
# reproduce.sh evidence --data DIR | --plan | --tables | --gpu A|B|C --seed S --data DIR     (more: evidence --help)
# evidence: runs the experiments behind the claims about the four objectives, one process at a time. Takes days, but may
# stop and resume at any time. Stores finished runs as lines in docs/evidence; see the README.md there.
set -euo pipefail
folder=$(dirname -- "${BASH_SOURCE[0]}")
exec python3 -B "$folder/reproduce.py" "$@"
