#!/usr/bin/env bash
# fetch_data_test.sh SOURCE_FOLDER
# fetch_data.sh against a server on this machine: a whole archive, one cut off and gone on with, a damaged one.
set -euo pipefail
source=$1
command -v python3 >/dev/null && command -v curl >/dev/null || { echo "skipped: needs python3 and curl"; exit 77; }
work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf -- "$work"' EXIT
failed() {
  echo "FAILED: $1"
  exit 1
}

# An archive as the real one is laid out, larger than a read buffer.
mkdir -p "$work/made/cifar-100-binary" "$work/served"
head -c 300000 /dev/urandom > "$work/made/cifar-100-binary/train.bin"
head -c 100000 /dev/urandom > "$work/made/cifar-100-binary/test.bin"
tar -czf "$work/served/cifar-100-binary.tar.gz" -C "$work/made" cifar-100-binary
md5=$(md5sum "$work/served/cifar-100-binary.tar.gz" | cut -d' ' -f1)
python3 -B "$source/tests/tools/range_server.py" "$work/served" > "$work/port" &
server=$!
for _ in $(seq 100); do
  [[ -s $work/port ]] && break
  sleep 0.1
done
url=http://127.0.0.1:$(cat "$work/port")

fetch() { # FOLDER OPTION...: exit status in $status, output in $said
  status=0
  said=$(no_proxy='*' bash "$source/tools/fetch_data.sh" cifar100 "$@" 2>&1) || status=$?
}
expect_data() { # FOLDER
  for file in train.bin test.bin; do
    cmp "$1/cifar-100-binary/$file" "$work/made/cifar-100-binary/$file" || failed "$1: $file differs"
  done
  [[ -z $(find "$1" -name '*.part' -o -name '.unpacking*') ]] || failed "$1: something was left behind"
}

fetch "$work/whole" --mirror "$url" --md5 "$md5"
[[ $status -eq 0 ]] || failed "a whole archive: $said"
expect_data "$work/whole"
fetch "$work/whole" --mirror "$url/nothing" --md5 "$md5"
[[ $status -eq 0 && $said == *already* ]] || failed "fetched twice: $said"

fetch "$work/cut" --mirror "$url/cut/100000/cifar-100-binary.tar.gz" --md5 "$md5"
[[ $status -eq 1 && $said == *"run the same command again"* && $said != *cannot* ]] || failed "cut off: $status $said"
[[ $(stat -c %s "$work/cut/cifar-100-binary.tar.gz.part") -ge 100000 ]] || failed "cut off: nothing was kept"
fetch "$work/cut" --mirror "$url" --md5 "$md5"
[[ $status -eq 0 && $said == *"bytes already"* ]] || failed "gone on with: $said"
expect_data "$work/cut"

python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/served" > "$work/whole_only" 2>/dev/null & # knows no ranges
server="$server $!"
for _ in $(seq 100); do
  [[ -s $work/whole_only ]] && break
  sleep 0.1
done
mkdir "$work/no_ranges"
head -c 100000 "$work/served/cifar-100-binary.tar.gz" > "$work/no_ranges/cifar-100-binary.tar.gz.part"
fetch "$work/no_ranges" --mirror "http://127.0.0.1:$(sed 's/.* port \([0-9]*\).*/\1/' "$work/whole_only")" --md5 "$md5"
[[ $status -eq 0 && $said == *"from the start"* ]] || failed "a server without ranges: $status $said"
expect_data "$work/no_ranges"

cp "$work/served/cifar-100-binary.tar.gz" "$work/served/damaged.tar.gz"
byte=$(od -An -tu1 -j 200000 -N 1 "$work/served/damaged.tar.gz") # the archive is random: another one than is there
printf '%b' "\\x$(printf '%02x' $(((byte + 1) % 256)))" | dd of="$work/served/damaged.tar.gz" bs=1 seek=200000 conv=notrunc status=none
fetch "$work/damaged" --mirror "$url/damaged.tar.gz" --md5 "$md5"
[[ $status -eq 1 && $said == *"its MD5 is "*"expected $md5"* ]] || failed "damaged: $status $said"
[[ -z $(ls -A "$work/damaged") ]] || failed "damaged: something was left behind"

fetch "$work/kept" --mirror "$url" --md5 "$md5" --keep
[[ $status -eq 0 && -f $work/kept/cifar-100-binary.tar.gz ]] || failed "--keep: $said"
rm -r "$work/kept/cifar-100-binary"
fetch "$work/kept" --mirror "$url/nothing" --md5 "$md5"
[[ $status -eq 0 ]] || failed "an archive that is there already: $said"
expect_data "$work/kept"

fetch "$work/missing" --mirror "$url/nothing" --md5 "$md5"
[[ $status -eq 1 ]] || failed "a missing file: $status $said"
fetch "$work/usage" --md5 short
[[ $status -eq 2 ]] || failed "a bad sum: $status $said"
echo "passed"
