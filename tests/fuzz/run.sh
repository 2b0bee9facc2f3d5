#!/usr/bin/env bash
# run.sh [SECONDS [READER...]]
# Builds the fuzzers with clang and the sanitizers into build-fuzz/ and runs each for SECONDS (default 600), one after the
# other; READER: cifar, toml, ... (default: all). Prints how many inputs each has run, the coverage, the inputs kept
# and what was found; ends with an error if anything was. An input that breaks a reader is kept in the results; put it into
# tests/fuzz/corpus/<reader>/ with the fix, and the test fuzz_replay_<reader> guards it from then on.
#   FUZZ_BUILD    the build folder (default: build-fuzz)
#   FUZZ_RESULTS  grown corpora, logs and what was found (default: the build folder's fuzz/results)
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
seconds=${1:-600}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: tests/fuzz/run.sh [SECONDS [READER...]]" >&2; exit 2; }
shift $(($# > 0 ? 1 : 0))
readers=("$@")
if [[ ${#readers[@]} -eq 0 ]]; then
  for source in tests/fuzz/fuzz_*.cpp; do
    reader=${source##*/fuzz_}
    readers+=("${reader%.cpp}")
  done
fi
for reader in "${readers[@]}"; do
  [[ -f tests/fuzz/fuzz_$reader.cpp ]] || { echo "run.sh: there is no tests/fuzz/fuzz_$reader.cpp" >&2; exit 2; }
done

bash tools/install_packages.sh --fuzz
build=${FUZZ_BUILD:-$PWD/build-fuzz}
results=${FUZZ_RESULTS:-$build/fuzz/results}
configure=(--preset fuzz -B "$build")
[[ -e $build/CMakeCache.txt ]] || ! command -v ninja >/dev/null || configure+=(-G Ninja)
! command -v ccache >/dev/null || configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cmake --log-level=WARNING "${configure[@]}" >/dev/null
cmake --build "$build" --parallel "$(nproc)" --target "${readers[@]/#/fuzz_}"

# Most bytes of an input: what a reader needs to get past its first checks, no more.
longest() {
  case $1 in
    cifar | python_cifar) echo 12400 ;;
    stl10) echo 64 ;;
    *) echo 4096 ;;
  esac
}

# Readers of files get them from memory where the system has such a place.
TMPDIR=$(mktemp -d "$(if [[ -w /dev/shm ]]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi)/vergence_fuzz_XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
export UBSAN_OPTIONS=print_stacktrace=1

fuzz() { # READER: its lines of the log go to $results/READER.log
  local reader=$1 own=$results/$1
  mkdir -p "$own/corpus" "$own/found"
  local options=("-max_total_time=$seconds" "-max_len=$(longest "$reader")" -timeout=10 -rss_limit_mb=2048
    -print_final_stats=1 "-artifact_prefix=$own/found/")
  local dictionary=tests/fuzz/dictionaries/${reader/python_cifar/pickle}.dict
  [[ ! -f $dictionary ]] || options+=("-dict=$dictionary")
  local inputs=("$own/corpus" "tests/fuzz/corpus/$reader")
  [[ $reader != toml ]] || inputs+=(ssl/recipes)
  "$build/fuzz/fuzz_$reader" "${options[@]}" "${inputs[@]}" >"$own.log" 2>&1
}

last_of() { # PATTERN LOG: the number behind the pattern's last match
  grep -oE "$1 *[0-9]+" "$2" | tail -n 1 | grep -oE '[0-9]+$' || echo -
}

failures=0
mkdir -p "$results"
printf '%-14s %10s %8s %9s %7s  %s\n' reader runs seconds coverage inputs found | tee "$results/table.txt"
for reader in "${readers[@]}"; do
  status=0 began=$SECONDS
  fuzz "$reader" || status=$?
  log=$results/$reader.log
  found=$(find "$results/$reader/found" -type f | wc -l)
  [[ $status -eq 0 && $found -eq 0 ]] || failures=$((failures + 1))
  verdict=$found
  [[ $status -eq 0 ]] || verdict="$found, see $log"
  printf '%-14s %10s %8s %9s %7s  %s\n' "$reader" "$(last_of number_of_executed_units: "$log")" "$((SECONDS - began))" \
    "$(last_of cov: "$log")" "$(find "$results/$reader/corpus" -type f | wc -l)" "$verdict" | tee -a "$results/table.txt"
done
[[ $failures -eq 0 ]] || { echo "$failures of ${#readers[@]} readers broke; the inputs are in $results/<reader>/found" >&2; exit 1; }
