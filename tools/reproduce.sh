#!/usr/bin/env bash
# reproduce.sh shapes|search|cifar10 [--data DIR] [--seeds N] [--out FOLDER] [--build FOLDER] [--jobs N] [--split SPLIT]
#   [--only ROW[,ROW...]] [-- PRETRAIN_OPTIONS]
# shapes: trains every objective and its controls on the rendered data set at equal steps and prints a table.
# search: the same for other values of their main coefficients, judged on the validation images.
# cifar10: trains every objective on CIFAR-10 (in DIR), ten epochs of a narrow encoder: hours.
# One process per core. Restartable: finished runs are kept, an interrupted one goes on from its checkpoint.
#
# reproduce.sh evidence --data DIR | --plan | --tables | --gpu A|B|C --seed S --data DIR     (more: evidence --help)
# evidence: the experiments behind what is claimed of the four objectives, one process at a time, over many sittings.
# Finished runs are lines in docs/evidence, see the README.md there. Days.
set -euo pipefail
folder=$(dirname -- "${BASH_SOURCE[0]}")
exec python3 -B "$folder/reproduce.py" "$@"
