#!/usr/bin/env bash
# sanitize.sh FOLDER [TOOL...]
# Runs the op table on the GPU under tools of NVIDIA's compute-sanitizer: memcheck, racecheck, initcheck and synccheck, or those
# that are named. FOLDER is a build folder or one with the programs alone. Every tensor has memory of its own (VERGENCE_POOL=off),
# so that one that is overrun is seen. GTEST_FILTER chooses rows.
set -euo pipefail
folder=${1:?usage: sanitize.sh FOLDER [TOOL...]}
tools=("${@:2}")
((${#tools[@]})) || tools=(memcheck racecheck initcheck synccheck)
program=$folder/gpu_op_table_test
[[ -x $program ]] || program=$folder/tests/gpu_op_table_test
[[ -x $program ]] || { echo "sanitize.sh: $folder: there is no gpu_op_table_test here, nor in its folder tests" >&2; exit 2; }
command -v compute-sanitizer >/dev/null || { echo "sanitize.sh: there is no compute-sanitizer here" >&2; exit 1; }
for tool in "${tools[@]}"; do
  echo "== $tool"
  VERGENCE_POOL=off compute-sanitizer --tool "$tool" --error-exitcode 1 "$program" --gtest_brief=1
done
