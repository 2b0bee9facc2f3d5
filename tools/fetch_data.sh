#!/usr/bin/env bash
# fetch_data.sh cifar10|cifar100|stl10 DIR [--mirror URL] [--md5 SUM] [--keep]
# Downloads a data set's binary version into DIR, checks its MD5 and unpacks it there, for `pretrain --data DIR`.
# To resume an interrupted download, run the same command again. Does nothing if the data are already there.
#   --mirror URL   download the archive from a folder (URL/NAME.tar.gz) or, if the URL ends in .gz, that file
#   --md5 SUM      the archive's expected MD5, if a mirror has packed the files anew
#   --keep         keep the archive in DIR after unpacking
set -euo pipefail

fail() {
  echo "fetch_data.sh: $1" >&2
  exit "${2:-1}"
}
usage="expected fetch_data.sh cifar10|cifar100|stl10 DIR [--mirror URL] [--md5 SUM] [--keep]"

[[ $# -ge 2 ]] || fail "$usage" 2
dataset=$1 folder=$2
shift 2
case $dataset in
  cifar10)
    archive=cifar-10-binary.tar.gz inner=cifar-10-batches-bin url=https://www.cs.toronto.edu/~kriz
    md5=c32a1d4ab5d03f1284b67883e8d87530 last=test_batch.bin
    ;;
  cifar100)
    archive=cifar-100-binary.tar.gz inner=cifar-100-binary url=https://www.cs.toronto.edu/~kriz
    md5=03b5dce01913d631647c71ecec9e9cb8 last=test.bin
    ;;
  stl10)
    archive=stl10_binary.tar.gz inner=stl10_binary url=http://ai.stanford.edu/~acoates/stl10
    md5=91f7769df0f17e558f3565bffb0c7dfb last=test_X.bin
    ;;
  *) fail "no data set '$dataset'; $usage" 2 ;;
esac
keep=no
while [[ $# -gt 0 ]]; do
  case $1 in
    --mirror) [[ $# -ge 2 ]] || fail "--mirror: expected a URL" 2; url=$2 && shift 2 ;;
    --md5) [[ $# -ge 2 && $2 =~ ^[0-9a-f]{32}$ ]] || fail "--md5: expected 32 hexadecimal digits" 2; md5=$2 && shift 2 ;;
    --keep) keep=yes && shift ;;
    *) fail "unknown option '$1'; $usage" 2 ;;
  esac
done
[[ $url == *.gz ]] || url=${url%/}/$archive

if [[ -f $folder/$inner/$last ]]; then
  echo "$dataset is in $folder/$inner already"
  exit 0
fi
for tool in curl md5sum tar; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done
mkdir -p -- "$folder" || fail "cannot create $folder"
part=$folder/$archive.part

sum_of() { md5sum -- "$1" | cut -d' ' -f1; }
is_whole() { [[ -f $part && $(sum_of "$part") == "$md5" ]]; }

if [[ -f $folder/$archive && ! -f $part ]]; then
  mv -- "$folder/$archive" "$part" # downloaded by hand, or kept
fi
if ! is_whole; then
  had=$(stat -c %s -- "$part" 2>/dev/null || echo 0)
  [[ $had -eq 0 ]] || echo "$part has $had bytes already"
  echo "fetching $url"
  fetch() { curl --fail --location --show-error --silent --retry 3 "$@" --output "$part" -- "$url"; }
  status=0
  fetch --continue-at - || status=$?
  if [[ $status -eq 33 ]]; then # CURLE_RANGE_ERROR
    echo "the server cannot send a part of a file: fetching it from the start"
    status=0
    fetch || status=$?
  fi
  [[ $status -eq 0 ]] ||
    fail "the download of $url stopped after $(stat -c %s -- "$part" 2>/dev/null || echo 0) bytes; run the same command again to go on"
fi
if ! is_whole; then
  found=$(sum_of "$part")
  rm -f -- "$part"
  fail "$url is damaged or another file: its MD5 is $found, expected $md5; it has been removed"
fi

unpacked=$(mktemp -d -- "$folder/.unpacking_XXXXXX")
trap 'rm -rf -- "$unpacked"' EXIT
tar -xzf "$part" -C "$unpacked" --no-same-owner || fail "$part cannot be unpacked"
[[ -f $unpacked/$inner/$last ]] || fail "the archive has no $inner/$last"
rm -rf -- "${folder:?}/$inner"
mv -- "$unpacked/$inner" "$folder/$inner" # all of it or nothing
if [[ $keep == yes ]]; then
  mv -- "$part" "$folder/$archive"
else
  rm -f -- "$part"
fi
echo "$dataset is in $folder/$inner"
