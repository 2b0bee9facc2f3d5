#!/usr/bin/env bash
# tidy.sh [--all | --since REVISION | FILE...]
# Runs clang-tidy with the checks of .clang-tidy on FILE..., on all sources (--all), or on those that differ from REVISION
# (default: the merge base with origin/main, else HEAD~1), including uncommitted and new files. A header is checked through a
# source that includes it. Prints each finding once; exit status 1 if there are any. Only configures a build, in build-tidy.
# 5 to 30 seconds per file, so it is not a stage of tests/run.sh.
#
# The checks were chosen with version 14, Debian 12's (installed if missing). CLANG_TIDY may name another program.
set -euo pipefail
root=$(realpath -- "$(dirname -- "${BASH_SOURCE[0]}")/..")
fail() { echo "tidy.sh: $1" >&2; exit 2; }

files=() since= all=
case ${1:-} in
  --all) all=1 ;;
  --since) since=${2:?tidy.sh: --since needs a revision} ;;
  -*) fail "unknown option '$1'; usage: tests/tidy.sh [--all | --since REVISION | FILE...]" ;;
  *)
    for file in "$@"; do
      [[ -f $file ]] || fail "there is no file '$file'"
      files+=("$(realpath --relative-to="$root" -- "$file")")
    done
    ;;
esac
cd -- "$root"
if [[ -n $all ]]; then
  mapfile -t files < <(git ls-files '*.cpp' '*.cu')
elif [[ $# -eq 0 || -n $since ]]; then
  [[ -n $since ]] || since=$(git merge-base HEAD origin/main 2>/dev/null || echo HEAD~1)
  git rev-parse --quiet --verify "$since^{commit}" >/dev/null || fail "there is no revision '$since'"
  mapfile -t files < <(
    git diff --name-only --diff-filter=d "$since" -- '*.cpp' '*.cu' '*.h'
    git ls-files --others --exclude-standard -- '*.cpp' '*.cu' '*.h'
  )
fi

bash tools/install_packages.sh --tidy
program=${CLANG_TIDY:-$(command -v clang-tidy-14 || command -v clang-tidy || true)}
[[ -n $program ]] || fail "there is no clang-tidy"
# One file at a time, without gcc's precompiled headers. The emulated GPU makes CUDA kernels plain C++.
cmake --log-level=WARNING -S . -B build-tidy -DCMAKE_BUILD_TYPE=Release -DVERGENCE_CUDA=OFF -DVERGENCE_UNITY=OFF \
  -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >/dev/null

declare -A compiled sources=()
while IFS= read -r file; do compiled[${file#"$root/"}]=1; done < <(sed -n 's/^ *"file": "\(.*\)",\?$/\1/p' build-tidy/compile_commands.json)
for file in ${files[@]+"${files[@]}"}; do
  source=$file
  if [[ $file == *.h ]]; then
    source=
    while IFS= read -r user; do
      [[ -n $source || -z ${compiled[$user]:-} ]] || source=$user
    done < <(ls -- "${file%.h}".c* 2>/dev/null; git grep --untracked -lF "#include \"$file\"" -- '*.cpp' '*.cu')
  fi
  if [[ -n $source && -n ${compiled[$source]:-} ]]; then sources[$source]=1; else echo "$file: not checked: no part of a build without CUDA"; fi
done
((${#sources[@]})) || exit 0

echo "Checking ${#sources[@]} sources"
# Every source repeats what was found in its headers: each finding is printed once, with the lines that belong to it.
printf '%s\0' "${!sources[@]}" | sort -z | xargs -0 -n 1 -P "$(nproc)" "$program" -p build-tidy --quiet 2>&1 |
  awk -v root="$root/" '
    /^[0-9]+ warnings?( and [0-9]+ errors?)? generated\.$/ { next }
    /^\/.*: (warning|error): / { found = !($0 in seen); seen[$0] = 1; count += found }
    found { sub("^" root, ""); print; fflush() }
    END { printf "%d findings\n", count; exit count > 0 }'
