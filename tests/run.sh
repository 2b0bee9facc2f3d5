#!/usr/bin/env bash
# run.sh [CTEST OPTION...]
# Installs what is missing, builds everything into build/ and runs every test. A second run rebuilds only what changed.
#   tests/run.sh                  all tests
#   tests/run.sh -R options       those whose name matches
#   tests/run.sh -LE oracle       without the comparisons with PyTorch
#   tests/run.sh -L emulator      what runs on the emulated GPU
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
began=$SECONDS

bash tools/install_packages.sh --tests
configure=(-S . -B build -DCMAKE_BUILD_TYPE=Release -DVERGENCE_TESTS=ON -DVERGENCE_CUDA=AUTO)
# A build folder keeps the generator it was made with.
[[ -e build/CMakeCache.txt ]] || ! command -v ninja >/dev/null || configure+=(-G Ninja)
! command -v ccache >/dev/null || configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
cmake --log-level=WARNING "${configure[@]}"
cmake --build build --parallel "$(nproc)"
echo "Built in $((SECONDS - began)) s."

status=0
ctest --test-dir build --output-on-failure "$@" || status=$?
echo "All in $((SECONDS - began)) s."
exit "$status"
