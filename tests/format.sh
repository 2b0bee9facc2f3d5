#!/usr/bin/env bash
# format.sh [--fix] [FILE...]
# Checks that C++ and CUDA files follow .clang-format and that Python and shell files parse: FILE..., or all files that git
# tracks or would add. Names each bad file. With --fix, formats the C++ and CUDA files among them. Takes seconds.
#
# clang-format's output differs between versions; only version 14 counts, Debian 12's (install it with
# `tools/install_packages.sh --tests`, elsewhere with `pip install clang-format==14.0.6`). Another version only warns, and
# --fix changes nothing. Without clang-format, C++ is not checked. CLANG_FORMAT may name the program.
set -euo pipefail
root=$(realpath -- "$(dirname -- "${BASH_SOURCE[0]}")/..")
version=14
usage() { echo "format.sh: $1; usage: tests/format.sh [--fix] [FILE...]" >&2; exit 2; }

fix=
if [[ ${1:-} == --fix ]]; then
  fix=1
  shift
fi
files=()
for file in "$@"; do
  [[ $file != -* ]] || usage "unknown option '$file'"
  [[ -f $file ]] || usage "there is no file '$file'"
  files+=("$(realpath --no-symlinks --relative-base="$root" -- "$file")")
done
cd -- "$root"
if [[ $# -eq 0 ]]; then
  listed=(git ls-files -z --cached --others --exclude-standard)
  git rev-parse --is-inside-work-tree >/dev/null 2>&1 || listed=(find . -name 'build*' -prune -o -type f -print0)
  while IFS= read -r -d '' file; do
    [[ ! -f $file ]] || files+=("$file") # a tracked file may have been deleted
  done < <("${listed[@]}")
fi

cpp=() python=() shell=()
for file in ${files[@]+"${files[@]}"}; do
  case $file in
    *.cpp | *.h | *.cu) cpp+=("$file") ;;
    *.py) python+=("$file") ;;
    *.sh | .ci/run) shell+=("$file") ;;
  esac
done

failures=0 status=0
for file in ${shell[@]+"${shell[@]}"}; do
  bash -n -- "$file" || failures=$((failures + 1))
done

if ((${#python[@]})); then
  if command -v python3 >/dev/null; then
    python3 -B - "${python[@]}" <<'END' || failures=$((failures + $?))
import sys
failures = 0
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            compile(file.read(), path, "exec")
    except (SyntaxError, ValueError) as error:
        print(f"{path}:{getattr(error, 'lineno', 0)}: {error}", file=sys.stderr)
        failures += 1
sys.exit(min(failures, 100))
END
  else
    echo "format.sh: there is no python3: ${#python[@]} Python files not checked"
  fi
fi

program=${CLANG_FORMAT:-}
for candidate in "clang-format-$version" clang-format; do
  [[ -n $program ]] || program=$(command -v "$candidate" || true)
done
if [[ -n $program ]]; then
  found=$("$program" --version | grep -oE 'version [0-9]+' | cut -d' ' -f2)
else
  echo "format.sh: there is no clang-format: C++ not checked (tools/install_packages.sh --tests installs it)"
fi
bad=()
style=--style=file:$root/.clang-format
if [[ -n $program ]] && ((${#cpp[@]})); then
  lines=$(mktemp -d)
  trap 'rm -rf "$lines"' EXIT
  # Each process writes to a file of its own: in one stream their lines may mix.
  printf '%s\0' "${cpp[@]}" | xargs -0 -n 20 -P "$(nproc)" bash -c \
    'out=$1; shift; "$@" >"$out/$$" 2>&1' - "$lines" "$program" "$style" --dry-run -Werror -ferror-limit=1 || status=$?
  said=$(cat "$lines"/*)
  mapfile -t bad < <(sed -nE 's/^(.*):[0-9]+:[0-9]+: error: .*\[-Wclang-format-violations\]$/\1/p' <<<"$said" | sort -u)
  if ((status && ${#bad[@]} == 0)); then # clang-format itself failed
    echo "$said" >&2
    exit 1
  fi
fi
if ((${#bad[@]})) && [[ $found != "$version" ]]; then
  echo "format.sh: warning: clang-format $found would change ${#bad[@]} files, but version $version is the measure"
elif ((${#bad[@]})) && [[ -n $fix ]]; then
  "$program" "$style" -i "${bad[@]}"
  printf 'formatted: %s\n' "${bad[@]}"
elif ((${#bad[@]})); then
  printf '%s is not formatted\n' "${bad[@]}" >&2
  echo "To format them: tests/format.sh --fix" >&2
  failures=$((failures + ${#bad[@]}))
fi
((failures == 0))
