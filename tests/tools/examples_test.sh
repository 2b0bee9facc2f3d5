#!/usr/bin/env bash
# examples_test.sh SOURCE_FOLDER BUILD_FOLDER
# Runs the examples of docs/examples, and compares the README's C++ with the lines between the marks of simclr.cpp.
set -euo pipefail
source=$(realpath "$1") build=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failed() {
  echo "FAILED: $1" >&2
  exit 1
}

sed -n '/^```cpp$/,/^```$/p' "$source/README.md" | sed '1d;$d' >"$work/shown"
sed -n '/\[train\]/,/\[\/train\]/p' "$source/docs/examples/simclr.cpp" | sed '1d;$d;s/^  //' >"$work/marked"
[[ -s $work/marked ]] || failed "docs/examples/simclr.cpp has no lines between its marks"
diff "$work/marked" "$work/shown" || failed "the README shows (>) something else than docs/examples/simclr.cpp has (<)"

"$build/tests/example_simclr" 2 "$work" 512 | tee "$work/lines"
mapfile -t losses < <(sed -nE 's/^epoch [12]  loss ([0-9.]+)$/\1/p' "$work/lines")
[[ ${#losses[@]} == 2 ]] || failed "not two losses"
awk -v first="${losses[0]}" -v second="${losses[1]}" 'BEGIN { exit !(second < first) }' || failed "the loss does not fall"
grep -qE '^kNN [0-9.]+ %$' "$work/lines" || failed "no accuracy"
[[ -s $work/encoder.safetensors ]] || failed "no encoder"

"$build/tests/example_views" confounded_shapes "" "$work/views.png"
[[ $(head -c 4 "$work/views.png" | tail -c 3) == PNG ]] || failed "views.png is no PNG file"
header="{'descr': '|u1', 'fortran_order': False, 'shape': (4, 8, 8), }"  # of an array of gray images
{ printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$header" && head -c 256 /dev/urandom; } >"$work/train.npy"
"$build/tests/example_views" npy "$work" "$work/gray.png"
[[ $(head -c 4 "$work/gray.png" | tail -c 3) == PNG ]] || failed "gray.png is no PNG file"
"$build/tests/example_views" npy "$work/missing" "$work/no.png" 2>"$work/error" && failed "no images, no error"
[[ $(wc -l <"$work/error") == 1 ]] || failed "not one line: $(<"$work/error")"
echo passed
