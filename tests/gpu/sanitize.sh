#!/usr/bin/env bash
# sanitize.sh FOLDER [TOOL...]
# Runs the op table on the GPU under compute-sanitizer's memcheck, racecheck, initcheck and synccheck, or the given tools.
# FOLDER is a build folder, or one with only the programs. Every tensor gets its own allocation (VERGENCE_POOL=off), so that
# overruns are seen. GTEST_FILTER chooses rows. racecheck checks only our own kernels, takes minutes and prints each finished
# row. SHARDS=N runs N parts of the rows at once.
set -euo pipefail
folder=${1:?usage: sanitize.sh FOLDER [TOOL...]}
tools=("${@:2}") shards=${SHARDS:-1}
((${#tools[@]})) || tools=(memcheck racecheck initcheck synccheck)
program=$folder/gpu_op_table_test
[[ -x $program ]] || program=$folder/tests/gpu_op_table_test
[[ -x $program ]] || { echo "sanitize.sh: $folder: there is no gpu_op_table_test here, nor in its folder tests" >&2; exit 2; }
[[ $shards =~ ^[1-9][0-9]?$ ]] || { echo "sanitize.sh: SHARDS: expected 1 to 99, got '$shards'" >&2; exit 2; }
command -v compute-sanitizer >/dev/null || { echo "sanitize.sh: there is no compute-sanitizer here" >&2; exit 1; }
export VERGENCE_POOL=off GTEST_TOTAL_SHARDS=$shards
for tool in "${tools[@]}"; do
  echo "== $tool"
  options=(--tool "$tool" --error-exitcode 1) brief=(--gtest_brief=1) parts=() status=0
  [[ $tool != racecheck ]] || options+=(--kernel-name kns=vergence) brief=()
  for ((part = 0; part < shards; ++part)); do
    GTEST_SHARD_INDEX=$part compute-sanitizer "${options[@]}" "$program" "${brief[@]}" &
    parts+=("$!")
  done
  for part in "${parts[@]}"; do wait "$part" || status=$?; done
  ((status == 0)) || exit "$status"
done
