#!/usr/bin/env bash
# sanitize.sh BUILD_FOLDER
# Runs the small rows of the op table on the GPU under each tool of NVIDIA's compute-sanitizer.
set -euo pipefail
build=${1:?usage: sanitize.sh BUILD_FOLDER}
command -v compute-sanitizer >/dev/null || { echo "sanitize.sh: there is no compute-sanitizer here" >&2; exit 1; }
for tool in memcheck racecheck initcheck synccheck; do
  echo "== $tool"
  compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/tests/gpu_op_table_test" --gtest_brief=1
done
