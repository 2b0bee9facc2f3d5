#!/usr/bin/env bash
# format_test.sh SOURCE_FOLDER
# What format.sh says of files that are in order and of files that are not, and how it takes another version of clang-format.
set -euo pipefail
unset CLANG_FORMAT
export LC_ALL=C  # bash translates its messages
format=$1/tests/format.sh
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
failed() { echo "FAILED: $1; format.sh said:"; cat said; exit 1; }
says() { # STATUS WORDS ARGUMENT...: format.sh ARGUMENT... ends with STATUS and says WORDS, or nothing if those are empty
  local status=0
  bash "$format" "${@:3}" >said 2>&1 || status=$?
  [[ $status == "$1" ]] || failed "exit status $status instead of $1 for ${*:3}"
  if [[ -n $2 ]]; then grep -qF -- "$2" said || failed "no '$2' for ${*:3}"; else [[ ! -s said ]] || failed "words for ${*:3}"; fi
}

printf 'print("fine")\n' >'fine 1.py'
printf 'def broken(:\n' >broken.py
printf 'echo fine\n' >fine.sh
printf 'if true; then\n' >broken.sh
says 0 '' 'fine 1.py' fine.sh
says 1 'broken.py:1:' broken.py fine.sh
says 1 'broken.sh: line ' 'fine 1.py' broken.sh
says 2 "there is no file 'none.cpp'" none.cpp
says 2 "unknown option '--mend'" --mend

printf 'int  x;\n' >'bad 1.cpp'
printf 'int x;\n' >fine.cu
# Another version, which would change each file that has two spaces, and one that fails
cat >other <<'END'
#!/bin/sh
[ "$1" != --version ] || { echo "clang-format version 99.1.0"; exit 0; }
for file; do
  case $file in -*) continue ;; esac
  grep -q '  ' "$file" && echo "$file:1:4: error: code should be clang-formatted [-Wclang-format-violations]" >&2 && exit 1
done
END
cat >broken <<'END'
#!/bin/sh
[ "$1" != --version ] || { echo "clang-format version 14.0.6"; exit 0; }
echo "Error reading .clang-format" >&2
exit 1
END
chmod +x other broken
CLANG_FORMAT=$work/other says 0 'clang-format 99 would change 1 files, but version 14 is the measure' 'bad 1.cpp' fine.cu
CLANG_FORMAT=$work/other says 0 'clang-format 99 would change' --fix 'bad 1.cpp'
CLANG_FORMAT=$work/broken says 1 'Error reading .clang-format' fine.cu
[[ $(<'bad 1.cpp') == 'int  x;' ]] || failed "another version changed a file"

if ! { command -v clang-format-14 || [[ $(clang-format --version) == *' version 14.'* ]]; } >/dev/null 2>&1; then
  echo "skipped: there is no clang-format 14"
  exit 77
fi
says 0 '' fine.cu
says 1 'bad 1.cpp is not formatted' 'bad 1.cpp' fine.cu
says 0 'formatted: ' --fix 'bad 1.cpp' fine.cu
[[ $(<'bad 1.cpp') == 'int x;' ]] || failed "it was not formatted"
says 0 '' 'bad 1.cpp'
echo "passed"
