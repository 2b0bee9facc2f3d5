#!/usr/bin/env bash
# machines.sh [FOLDER]
# Runs every test as on other machines: in four builds without CUDA (this processor, any x86-64, x86-64-v3, and without
# oneDNN and OpenBLAS), then in the first build with one setting changed at a time: oneDNN's instruction set, OpenBLAS's
# kernels, the number of threads. Prints a Markdown table and writes it to FOLDER/table.md. If stopped, the same command
# continues: FOLDER (default: build-machines) keeps the builds, and each row's output by commit. About an hour and a half on
# two cores.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
folder=${1:-build-machines}
mkdir -p "$folder"
commit=$(git rev-parse --short HEAD)$(git diff --quiet HEAD || echo -changed)
rows=$folder/$commit
mkdir -p "$rows"
# Only the rows set these.
unset ONEDNN_MAX_CPU_ISA DNNL_MAX_CPU_ISA OPENBLAS_CORETYPE OPENBLAS_L2_SIZE OMP_NUM_THREADS

bash tools/install_packages.sh --tests

has() { grep -qw -- "$1" /proc/cpuinfo; } # a processor's flag

build() { # NAME CMAKE_OPTION...: its output in FOLDER/NAME.log
  local name=$1 configure=(-S . -B "$folder/$1" -DCMAKE_BUILD_TYPE=Release -DVERGENCE_CUDA=OFF "${@:2}")
  [[ -e $folder/$name/CMakeCache.txt ]] || ! command -v ninja >/dev/null || configure+=(-G Ninja)
  ! command -v ccache >/dev/null || configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  { cmake "${configure[@]}" && cmake --build "$folder/$name" --parallel "$(nproc)"; } >"$folder/$name.log" 2>&1 ||
    { echo "machines.sh: the build '$name' failed: $folder/$name.log" >&2; exit 1; }
}

row() { # NAME BUILD [VARIABLE=VALUE]: runs the tests unless this row has ended before; they leave NAME.txt and NAME.row
  local name=$1 build=$2 began=$SECONDS
  [[ ! -e $rows/$name.row ]] || return 0
  env "${@:3}" ctest --test-dir "$folder/$build" --parallel "$(nproc)" --output-on-failure >"$rows/$name.txt" 2>&1 || true
  local count failing
  count=$(bash tests/summary.sh "$rows/$name.txt" | tail -n 1)
  failing=$(sed -n '/tests FAILED:/,$ s/^[[:space:]]*[0-9]* - \([^ ]* (.*)\)$/\1/p' "$rows/$name.txt" | paste -sd, | sed 's/,/, /g')
  echo "| $build | ${3:-} | $count | ${failing:--} | $((SECONDS - began)) s |" >"$rows/$name.part"
  mv "$rows/$name.part" "$rows/$name.row"
}

lacking() { # NAME BUILD VARIABLE=VALUE FLAG
  echo "| $2 | $3 | not run: this processor has no $4 | | |" >"$rows/$1.row"
}

if_has() { # FLAG ROW...
  if has "$1"; then row "${@:2}"; else lacking "${@:2:3}" "$1"; fi
}

build native
row 01_native native
build portable -DVERGENCE_NATIVE=OFF
row 02_portable portable
if has avx2; then
  build x86-64-v3 -DVERGENCE_NATIVE=OFF -DCMAKE_CXX_FLAGS=-march=x86-64-v3
  row 03_v3 x86-64-v3
else
  lacking 03_v3 x86-64-v3 "" avx2
fi
# Headers are not precompiled here, so that a file that lacks one is found.
build plain_cpu -DVERGENCE_PLAIN_CPU=ON -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON
row 04_plain_cpu plain_cpu
if_has avx2 05_onednn_avx2 native ONEDNN_MAX_CPU_ISA=AVX2
if_has avx512f 06_onednn_avx512 native ONEDNN_MAX_CPU_ISA=AVX512_CORE
if_has avx512_bf16 07_onednn_bf16 native ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16
if_has avx2 08_openblas_haswell native OPENBLAS_CORETYPE=Haswell
if_has avx512f 09_openblas_skylakex native OPENBLAS_CORETYPE=SkylakeX
row 10_one_thread native OMP_NUM_THREADS=1
row 11_two_threads native OMP_NUM_THREADS=2
row 12_four_threads native OMP_NUM_THREADS=4

{
  echo "$(date +%F), commit $commit, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
    "($(for flag in avx2 avx512f avx512_bf16 amx_bf16; do has "$flag" && echo "$flag"; done | paste -sd' ')), $(nproc) cores"
  echo
  echo "| build | changed | tests | failed | time |"
  echo "|---|---|---|---|---|"
  cat "$rows"/*.row
} | tee "$folder/table.md"
