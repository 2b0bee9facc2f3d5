#!/usr/bin/env bash
# pack.sh [CARRY_FOLDER] [BUILD_FOLDER]
# Packs what a visit to a machine with a GPU needs into CARRY_FOLDER (default: carry), 16 MiB: the programs and the GPU's
# tests, built here in BUILD_FOLDER (default: build-carry) for any x86-64 and a Hopper GPU; the libraries that such a machine
# lacks; the CPU's losses for training_test; should the programs not start there, the sources and headers to build them
# from; and day.sh, which uses all that. VERGENCE_PEER may name a torch_step.py that times the same steps in PyTorch,
# VERGENCE_CPU_LOSSES what cpu_losses wrote before (or be `none`: training_test then takes its minute there),
# VERGENCE_PACK_PROGRAMS some of the programs instead of all, VERGENCE_PACK_OPTIONS more of CMake's options, VERGENCE_BUILD
# another build than build/, which tests/run.sh makes: what it has compiled for the GPU is not compiled again. Needs nvcc (exit
# status 77 without it) and ninja, no GPU. Minutes on two cores.
set -euo pipefail
carry=${1:+$(realpath -m -- "$1")} build=${2:+$(realpath -m -- "$2")} made=${VERGENCE_BUILD:+$(realpath -m -- "$VERGENCE_BUILD")}
for file in VERGENCE_PEER VERGENCE_CPU_LOSSES; do [[ ${!file:-none} == none ]] || declare "$file=$(realpath -m -- "${!file}")"; done
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
carry=${carry:-carry} build=${build:-build-carry} made=${made:-$PWD/build} most=$((24 << 20))
nvcc=${CUDACXX:-$(PATH=$PATH:/usr/local/cuda/bin command -v nvcc || true)}
[[ -n $nvcc ]] || { echo "skipped: there is no nvcc"; exit 77; }
[[ -z ${VERGENCE_PEER:-} || -f $VERGENCE_PEER ]] || { echo "pack.sh: VERGENCE_PEER: $VERGENCE_PEER is no file" >&2; exit 2; }
stage=$(mktemp -d)
trap 'rm -rf -- "$stage" "$stage.log"' EXIT
fail() { echo "pack.sh: $1" >&2; exit 1; }
timed() { # WORDS COMMAND...: says how long it took
  local began=$SECONDS
  "${@:2}"
  echo "$1: $((SECONDS - began)) s"
}
cached() { sed -n "s/^$1:[A-Z]*=//p" "${2:-$build}/CMakeCache.txt"; } # NAME [BUILD_FOLDER]

compiled_for_gpu() { # brings the objects of the build in build/ up to date and prints where they are, if they are the same as here
  local flags
  [[ -f $made/CMakeCache.txt && $(cached CMAKE_HOME_DIRECTORY "$made") -ef . && $(cached CMAKE_CUDA_COMPILER "$made") -ef $nvcc ]] || return 0
  flags="$(cached CMAKE_BUILD_TYPE "$made") $(cached VERGENCE_CUDA_ARCHITECTURES "$made") $(cached CMAKE_CUDA_FLAGS "$made")"
  flags+="$(cached CMAKE_CUDA_HOST_COMPILER "$made")${CUDAFLAGS:-}${CUDAHOSTCXX:-}"
  [[ $flags == "Release 90a-real " ]] || return 0
  ! cmake --build "$made" --parallel "$(nproc)" --target vergence_kernels >"$stage.log" 2>&1 || echo "$made/CMakeFiles/vergence_kernels.dir"
}
choose_programs() { # all, or those of VERGENCE_PACK_PROGRAMS: their names below BUILD_FOLDER in `programs`
  local name chosen=()
  mapfile -t programs < <(ninja -C "$build" -t targets all | grep -oE '^tests/gpu_[a-z0-9_]+_test:' | tr -d : | sort -u)
  ((${#programs[@]})) || fail "$build has no tests for the GPU"
  programs+=(bench pretrain linear_probe finetune evaluate)
  [[ -n ${VERGENCE_PACK_PROGRAMS:-} ]] || return 0
  for name in $VERGENCE_PACK_PROGRAMS; do
    [[ " ${programs[*]##*/} " == *" $name "* ]] || fail "VERGENCE_PACK_PROGRAMS: there is no $name, but ${programs[*]##*/}"
    [[ $name == gpu_* ]] && chosen+=("tests/$name") || chosen+=("$name")
  done
  programs=("${chosen[@]}")
}
build_programs() {
  local options=(-DCMAKE_BUILD_TYPE=Release -DVERGENCE_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc" -DVERGENCE_CUDA_ARCHITECTURES=90a-real
    -DVERGENCE_PLAIN_CPU=ON -DVERGENCE_MPI=OFF -DVERGENCE_NATIVE=OFF -DVERGENCE_UNITY=ON "-DVERGENCE_CUDA_OBJECTS=$(compiled_for_gpu)"
    "-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc" ${VERGENCE_PACK_OPTIONS:-})
  ! command -v ccache >/dev/null || options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  cmake --log-level=WARNING -S . -B "$build" -G Ninja "${options[@]}" || fail "cannot configure $build"
  choose_programs
  local more=(cpu_losses)
  [[ ${VERGENCE_CPU_LOSSES:-} != none ]] || more=()
  ! ninja -C "$build" -t query kernel_times >/dev/null 2>&1 || more+=(kernel_times) # where there is CUPTI
  cmake --build "$build" --parallel "$(nproc)" --target "${programs[@]##*/}" "${more[@]}" >"$build/pack.log" || {
    cat "$build/pack.log" >&2
    fail "the build failed"
  }
}

# What the other machine has: glibc; cuDNN and cuBLASLt are loaded while running. What it may lack or call otherwise comes along.
pack_programs() {
  local program library
  mkdir "$stage/bin" "$stage/lib"
  [[ ! -e $build/libkernel_times.so ]] || strip -s "$build/libkernel_times.so" -o "$stage/lib/libkernel_times.so"
  for program in "${programs[@]}"; do
    strip -s "$build/$program" -o "$stage/bin/${program##*/}"
    while read -r library; do
      case $library in
        libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | ld-linux-x86-64.so.2) ;;
        libjpeg.so.* | libgomp.so.1 | liblbfgs*.so*) cp -L "$(ldd "$build/$program" | awk -v name="$library" '$1 == name { print $3 }')" "$stage/lib/" ;;
        *) fail "$program needs $library, which the other machine may not have" ;;
      esac
    done < <(readelf -d "$build/$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  done
  echo "${#programs[@]} programs that need glibc $(readelf -V "$stage"/bin/* "$stage"/lib/* | grep -oE 'GLIBC_[0-9.]+' | sort -Vu |
    tail -n 1 | cut -d_ -f2) and bring $(ls -m "$stage/lib")"
}

# The build in build/, with oneDNN, computes them in less than a fifth of the time that plain loops take; right is either.
pack_losses() {
  local writer=$build
  if [[ ${VERGENCE_CPU_LOSSES:-} == none ]]; then return; fi
  if [[ -f ${VERGENCE_CPU_LOSSES:-} ]]; then
    cp "$VERGENCE_CPU_LOSSES" "$stage/cpu_losses.json"
  else
    if [[ -f $made/CMakeCache.txt ]] && cmake --build "$made" --parallel "$(nproc)" --target cpu_losses >"$build/pack.log" 2>&1; then
      writer=$made
    else
      echo "build/ cannot compute the CPU's losses (tests/run.sh makes it): plain loops do, for ten minutes or more"
    fi
    OMP_WAIT_POLICY=passive "$writer/tests/cpu_losses" "$stage/cpu_losses.json"
  fi
  "$build/tests/cpu_losses" --check "$stage/cpu_losses.json" || fail "the CPU's losses are not what training_test reads"
}

pack_sources() { # and the header-only libraries, laid out as CMake finds them
  local include=$stage/prefix/include package
  mkdir -p "$stage/source" "$include/stb" "$stage/prefix/share/cmake"
  mkdir -p "$stage/share/vergence" && cp -r ssl/recipes "$stage/share/vergence/" # where the programs look first
  tar c --exclude=__pycache__ CMakeLists.txt cmake datasets engine kernels models ssl tests tools | tar x -C "$stage/source"
  for package in CLI11 nlohmann_json; do cp -r "$(cached "${package}_DIR")" "$stage/prefix/share/cmake/"; done
  cp -r "$(cached CLI11_DIR)/../../../include/CLI" "$(cached nlohmann_json_DIR)/../../../include/nlohmann" "$include/"
  cp -r "$(cached TOMLPLUSPLUS_INCLUDE)/toml++" "$(cached XXHASH_INCLUDE)"/xxh*.h "$include/"
  cp "$(cached STB_INCLUDE)"/stb_*.h "$include/stb/"
  cp -r "$(cached PROTOZERO_INCLUDE)/protozero" "$include/"
  mkdir -p "$include/eigen3" && cp -r "$(cached EIGEN_INCLUDE)/Eigen" "$include/eigen3/"
  if [[ -d /usr/src/googletest/googletest ]]; then
    tar c -C /usr/src --exclude=googletest/googlemock --exclude=googletest/googletest/test googletest | tar x -C "$stage"
  else
    echo "no GoogleTest sources in /usr/src/googletest: only what needs none can be built there"
  fi
}

pack_small_files() {
  cp tests/gpu/sanitize.sh tests/gpu/day_kernels.py tests/gpu/kernel_times.py "$stage/"
  [[ -z ${VERGENCE_PEER:-} ]] || cp "$VERGENCE_PEER" "$stage/torch_step.py"
  local commit=unknown
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    commit=$(git rev-parse HEAD)
    git diff --quiet HEAD || commit+=" and changes"
  fi
  echo "$commit" >"$stage/commit"
}

compress() { # each program holds the same kernels: a window that is larger than one program finds them again
  tar c --sort=name --owner=0 --group=0 -C "$stage" . | xz -T1 --lzma2=preset=2,dict=256MiB >"$carry/vergence.tar.xz"
}

timed "build" build_programs
timed "programs" pack_programs
timed "the CPU's losses" pack_losses
pack_sources
pack_small_files
mkdir -p "$carry"
rm -f "$carry/vergence.tar.xz"
timed "compression" compress
cp tests/gpu/day.sh tests/gpu/stages.sh "$carry/"
size=$(du -sb "$carry" | cut -f1)
echo "$carry: $((size >> 20)).$((10 * size / (1 << 20) % 10)) MiB"
((size <= most)) || fail "$carry: more than $((most >> 20)) MiB"
