#!/usr/bin/env bash
# install_test.sh SOURCE_FOLDER BUILD_FOLDER
# Installs the build, and builds and runs the examples of docs/examples with what is installed alone. Then moves the
# installed folder and does it again: nothing in it may point back to where it was made.
set -euo pipefail
source=$(realpath "$1") build=$(realpath "$2")
work=$(realpath "$(mktemp -d)")
trap 'rm -rf -- "$work"' EXIT
failed() {
  echo "FAILED: $1" >&2
  exit 1
}
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

# The flags of the build too: a library with sanitizers needs a program with them.
options=(-G "$(cached CMAKE_GENERATOR)" -DCMAKE_CXX_COMPILER="$(cached CMAKE_CXX_COMPILER)"
  -DCMAKE_CXX_FLAGS="$(cached CMAKE_CXX_FLAGS) -Wall -Wextra -Werror")
use() { # PREFIX CMAKE_OPTION
  rm -rf "$work/program"
  if ! { cmake -S "$work/source" -B "$work/program" "${options[@]}" "$2" && cmake --build "$work/program"; } >"$work/log" 2>&1; then
    cat "$work/log" >&2
    failed "the program cannot be built with $1"
  fi
  grep -qx "vergence_DIR:[A-Z]*=$1/.*" "$work/program/CMakeCache.txt" || failed "another vergence was found than that of $1"
  "$work/program/simclr" 1 "$work" 512 >"$work/lines" || { cat "$work/lines" >&2; failed "simclr with $1: exit status $?"; }
  grep -qE '^epoch 1  loss [0-9.]+$' "$work/lines" || { cat "$work/lines" >&2; failed "no loss"; }
  "$work/program/views" confounded_shapes "" "$work/views.png" >/dev/null || failed "views with $1: exit status $?"
}
recipes() { # PREFIX: the installed tool reads and lists those that are installed
  "$1/bin/pretrain" --recipes >"$work/recipes"
  grep -qxF "The files are in $1/share/vergence/recipes." "$work/recipes" || failed "pretrain of $1 has other recipes"
}

mkdir "$work/source"
cp "$source/tests/install/CMakeLists.txt" "$source"/docs/examples/{simclr,views}.cpp "$work/source/"
cmake --install "$build" --prefix "$work/first" >"$work/log"
rooms=(kernels engine models datasets ssl)
(cd "$source" && find "${rooms[@]}" -name '*.h' | sort) >"$work/headers"
(cd "$work/first/include/vergence" && find . -type f -printf '%P\n' | sort) | diff "$work/headers" - ||
  failed "these headers (<) are not installed, or these files (>) are no headers"
config=$(dirname "$(find "$work/first" -name vergence-config.cmake)")
! grep -rnF -e "$source" -e "$build" -e "$work" "$config" || failed "these lines name a folder of this build"
! grep -rnE '[";:]/[^;"]*\.(a|so)\b' "$config" || failed "these lines name a library of this machine"
nm -C "$(find "$work/first" -name libvergence_ssl.a)" >"$work/symbols" 2>"$work/log"
! grep -m 3 '\bEigen::' "$work/symbols" || failed "these symbols can be taken for those of a program that uses Eigen too"
use "$work/first" -Dvergence_DIR="$config"
cp "$work/lines" "$work/lines_before"
recipes "$work/first"

# This time with every object of the library, used or not: each must find the libraries that it needs.
echo "set_property(TARGET simclr PROPERTY LINK_LIBRARY_OVERRIDE WHOLE_ARCHIVE$(printf ',vergence::%s' "${rooms[@]}"))" \
  >>"$work/source/CMakeLists.txt"
mkdir "$work/elsewhere"
mv "$work/first" "$work/elsewhere/second place"
use "$work/elsewhere/second place" -DCMAKE_PREFIX_PATH="$work/elsewhere/second place"
cmp "$work/lines_before" "$work/lines" || failed "what simclr prints differs"
recipes "$work/elsewhere/second place"
echo "passed: $(tr '\n' ' ' <"$work/lines")"
