#!/usr/bin/env bash
# run.sh OUTPUT_FOLDER [BUILD_FOLDER]
# Everything there is to ask of a GPU, in the order of its worth: the tests, then the speed of steps and of operations. Each
# part has a time limit and leaves its output in OUTPUT_FOLDER. Where BUILD_FOLDER (default: build-gpu) has no build, one is
# made that needs the CUDA toolkit and header-only libraries alone.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
out=${1:?usage: run.sh OUTPUT_FOLDER [BUILD_FOLDER]} build=${2:-build-gpu}
mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.limit --format=csv >"$out/gpu.csv" || exit 1

part() { # SECONDS NAME COMMAND...: runs it, keeps what it prints, and says how it went
  local seconds=$1 name=$2 began=$SECONDS status=0
  shift 2
  timeout "$seconds" "$@" >"$out/$name.txt" 2>&1 || status=$?
  echo "$name: exit $status after $((SECONDS - began)) s" | tee -a "$out/summary.txt"
}

if [[ ! -x $build/bench ]]; then
  part 900 configure cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DVERGENCE_CUDA=ON -DVERGENCE_PLAIN_CPU=ON \
    -DVERGENCE_CUDA_ARCHITECTURES=90a-real
  part 900 build cmake --build "$build" --parallel "$(nproc)"
fi
part 300 tests ctest --test-dir "$build" -L gpu --output-on-failure
for objective in simclr barlow_twins; do
  for precision in bf16 tf32 fp32; do
    part 60 "step_${objective}_$precision" "$build/bench" step --device cuda --objective $objective \
      --precision $precision --batch 512 --steps 30 --warmup 6
  done
  part 60 "step_${objective}_bf16_128" "$build/bench" step --device cuda --objective $objective --precision bf16 \
    --batch 128 --steps 50 --warmup 6
done
for choice in cuda cudnn; do
  part 60 "step_simclr_bf16_$choice" "$build/bench" step --device cuda --precision bf16 --conv $choice --steps 30 --warmup 6
done
part 60 step_simclr_bf16_eager "$build/bench" step --device cuda --precision bf16 --capture off --steps 20 --warmup 6
part 90 step_resnet50 "$build/bench" step --device cuda --encoder resnet50 --image 224 --batch 256 --precision bf16 \
  --steps 20 --warmup 6
for precision in bf16 fp32; do
  part 120 "ops_$precision" "$build/bench" ops --device cuda --precision $precision
done
part 300 sanitize tests/gpu/sanitize.sh "$build"
cat "$out/summary.txt"
