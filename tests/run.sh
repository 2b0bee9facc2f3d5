#!/usr/bin/env bash
# run.sh [fast] [CTEST OPTION...]
# Installs what is missing, builds everything into build/ and runs every test. A second run rebuilds only what changed.
# Ends with why tests were skipped and, as its last line, how many passed, failed and were skipped.
#   tests/run.sh                  all tests
#   tests/run.sh fast             builds and runs those that take a second or two: what one runs after an edit
#   tests/run.sh -R options       those whose name matches
#   tests/run.sh -LE oracle       without the comparisons with PyTorch
#   tests/run.sh -L emulator      what runs on the emulated GPU
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
began=$SECONDS
options=(--parallel "$(nproc)" --output-on-failure "$@")
targets=(all)
if [[ ${1:-} == fast ]]; then
  options=(--parallel "$(nproc)" --output-on-failure -L '^fast$' "${@:2}")
  targets=(fast_tests)
fi

bash tools/install_packages.sh --tests
configure=(-S . -B build -DCMAKE_BUILD_TYPE=Release -DVERGENCE_TESTS=ON -DVERGENCE_CUDA=AUTO -DVERGENCE_WERROR=ON)
# Without a GPU to run them, the kernels are compiled for one architecture, which is quick.
nvidia-smi -L >/dev/null 2>&1 || configure+=(-DVERGENCE_CUDA_ARCHITECTURES=90a-real)
# In a new build folder everything is compiled, several files of a room at a time, unless one is at work with `fast`.
# 'cmake -DVERGENCE_UNITY=OFF build' makes a build after an edit quicker again.
[[ -e build/CMakeCache.txt || ${1:-} == fast ]] || configure+=(-DVERGENCE_UNITY=ON)
# A build folder keeps the generator it was made with.
[[ -e build/CMakeCache.txt ]] || ! command -v ninja >/dev/null || configure+=(-G Ninja)
! command -v ccache >/dev/null || configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
cmake --log-level=WARNING "${configure[@]}"
cmake --build build --parallel "$(nproc)" --target "${targets[@]}"
echo "Built in $((SECONDS - began)) s."

status=0
ctest --test-dir build "${options[@]}" | tee build/tests.log || status=$?
echo "All in $((SECONDS - began)) s."
! grep -q 'gpu_pack_test.*Passed' build/tests.log || echo "Packed for a GPU: $(du -sh --apparent-size build/carry | cut -f1)iB"
bash tests/summary.sh build build/tests.log
exit "$status"
