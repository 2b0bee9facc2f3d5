#!/usr/bin/env bash
# reproduce.sh shapes [--seeds N] [--out FOLDER] [--build FOLDER] [--jobs N] [--split SPLIT] [--only ROW[,ROW...]]
#   [-- PRETRAIN_OPTIONS]
# Trains every objective and its controls on the rendered data set at equal steps and prints a table.
# One process per core. Restartable: finished runs are kept, an interrupted one goes on from its checkpoint.
set -euo pipefail
folder=$(dirname -- "${BASH_SOURCE[0]}")
exec python3 -B "$folder/reproduce.py" "$@"
