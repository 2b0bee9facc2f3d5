#!/usr/bin/env bash
# pack_test.sh SOURCE_FOLDER BUILD_FOLDER
# pack.sh, in a build folder of its own; then day.sh with what it packed: here the programs must start from the archive alone.
# Where there is no GPU every stage must say so, and nothing may hang. A few programs stand for all, which are linked with the
# same libraries, and the compiler does not optimize: here they only start. The CPU's losses take too long here;
# training_losses_test has shorter ones.
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failed() {
  echo "FAILED: $1"
  exit 1
}

status=0
began=$SECONDS
export VERGENCE_PEER='' VERGENCE_CPU_LOSSES=none VERGENCE_BUILD=$build VERGENCE_PACK_PROGRAMS="bench pretrain gpu_nccl_test"
export VERGENCE_PACK_OPTIONS="-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="
bash "$source/tests/gpu/pack.sh" "$build/carry" "$build/carry-build" || status=$?
[[ $status -ne 77 ]] || exit 77
[[ $status -eq 0 ]] || failed "pack.sh: exit $status"
echo "packed in $((SECONDS - began)) s"

began=$SECONDS
env -i PATH="$PATH" bash "$build/carry/day.sh" "$build/carry" "$work/out" 100 >"$work/printed" 2>&1 || failed "day.sh: exit $?"
echo "a day of 100 s took $((SECONDS - began)) s"
summary() { sed '/^$/q' "$work/out/summary.txt"; }
says() { grep -qE "$1" <<<"$(summary)" || failed "no line '$1' in: $(summary)"; }
summary
says '^unpack +ok'
says '^start +ok'
says '^build_there +not run: the programs start'
says '^smoke '
if ! nvidia-smi -L >/dev/null 2>&1; then
  says '^smoke +exit [12], .*: bench: .*cuda'
  says '^step_512 +not run: no step runs'
  says '^test_nccl +skipped, .*: skipped: '
  says '^test_training_beside_cpu +exit 127, .*gpu_training_test' # not packed
  says '^peer_eager +not run: no peer was packed'
  ! grep -q 'stopped at its limit' <<<"$(summary)" || failed "a stage hung"
fi
echo "passed"
