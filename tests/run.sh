#!/usr/bin/env bash
# run.sh [fast] [CTEST OPTION...]
# Installs missing packages, builds everything into build/ and runs every test, in stages: the format of the sources
# (tests/format.sh), the build, the tests labeled `fast`, all others. It stops at the first stage that fails. A second run
# rebuilds only what changed. It ends with the time of each stage, the reasons for skipped tests and, as its last line, how
# many tests passed, failed and were skipped.
#   tests/run.sh                  all stages
#   tests/run.sh fast             builds and runs only the fast tests: use it after an edit
#   tests/run.sh -R options       those whose name matches
#   tests/run.sh -LE oracle       without the comparisons with PyTorch
#   tests/run.sh -L emulator      what runs on the emulated GPU
# With `fast` or options, there is one stage of tests, and the format is checked last and only warns.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
whole=1 targets=(all)
[[ $# -eq 0 ]] || whole=
select=("$@")
if [[ ${1:-} == fast ]]; then
  select=(-L '^fast$' "${@:2}")
  targets=(fast_tests)
fi
times=() stage=
begin() { # STAGE WORDS
  stage=$1 began=$SECONDS
  echo "==== $2"
}
end() {
  times+=("$stage $((SECONDS - began)) s")
  echo "==== ${times[-1]}"
}

bash tools/install_packages.sh --tests

if [[ -n $whole ]]; then
  begin format "format of the sources"
  bash tests/format.sh
  end
fi

begin build "build"
configure=(-S . -B build -DCMAKE_BUILD_TYPE=Release -DVERGENCE_TESTS=ON -DVERGENCE_CUDA=AUTO -DVERGENCE_WERROR=ON)
# Without a GPU, kernels are compiled for one architecture, which is faster. If the same build folder is later used on a
# machine with a GPU, it takes the default architectures again.
if ! nvidia-smi -L >/dev/null 2>&1; then
  configure+=(-DVERGENCE_CUDA_ARCHITECTURES=90a-real)
elif grep -qs '^VERGENCE_CUDA_ARCHITECTURES:STRING=90a-real$' build/CMakeCache.txt; then
  configure+=(-UVERGENCE_CUDA_ARCHITECTURES)
fi
# A new build folder compiles several files of a folder together, except with `fast`. 'cmake -DVERGENCE_UNITY=OFF build'
# makes builds after an edit faster again.
[[ -e build/CMakeCache.txt || ${1:-} == fast ]] || configure+=(-DVERGENCE_UNITY=ON)
# A build folder keeps the generator it was made with.
[[ -e build/CMakeCache.txt ]] || ! command -v ninja >/dev/null || configure+=(-G Ninja)
! command -v ccache >/dev/null || configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
cmake --log-level=WARNING "${configure[@]}"
cmake --build build --parallel "$(nproc)" --target "${targets[@]}"
end

status=0 logs=()
: >build/tests.log
run_tests() { # STAGE WORDS CTEST_OPTION...: its log is kept, since the next run overwrites it
  begin "$1" "$2"
  ctest --test-dir build --parallel "$(nproc)" --output-on-failure "${@:3}" | tee -a build/tests.log || status=$?
  logs+=("build/tests-$1.log")
  cp build/Testing/Temporary/LastTest.log "${logs[-1]}"
  end
}
if [[ -n $whole ]]; then
  # Those that take long start in the second run, the longest first; before it a processor idles for a few seconds at most.
  run_tests fast "fast tests" -L '^fast$'
  if ((status == 0)); then
    run_tests full "all other tests" -LE '^fast$'
  else
    echo "A fast test failed: the others were not run. 'ctest --test-dir build' runs all, whatever fails."
  fi
else
  run_tests tests "tests" "${select[@]}"
  bash tests/format.sh || echo "warning: the format check failed; 'tests/run.sh' will stop there (tests/format.sh --fix)"
fi

printf -v all '%s, ' "${times[@]}"
echo "==== ${all}all $SECONDS s"
# CTest's own status is 8 where tests failed.
((status == 0 || status == 8)) || echo "CTest ended early, with status $status: the count is of the tests that ran."
bash tests/summary.sh build/tests.log "${logs[@]}"
exit "$status"
