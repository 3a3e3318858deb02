#!/bin/sh
# Runs workloads in the guest: bench [NAME…], all of them without a name. Prints a line for each:
# BENCH <arch> <name> <seconds> <checksum>
#
# SCALE (1) multiplies the amount of work; unxz4 always unpacks its 4 MiB. BENCH_DIR (/tmp) takes some 40 MiB of files,
# BENCH_DATA (/bench) has f4.xz.

export SCALE="${SCALE:-1}"
directory="${BENCH_DIR:-/tmp}"
data="${BENCH_DATA:-/bench}"
compiled='sieve crc32 sha256 memcpy chase nbody-x87 nbody-sse2 mandel-x87 mandel-sse2 interp qsort getpid fork forkexec'
compiled="$compiled pagefault pipe"
shell='gen gzip16 gunzip16 unxz4 md5-16 shloop awk sort'

# scaled AMOUNT: that amount times SCALE, at least 1.
scaled() {
  awk -v amount="$1" -v scale="$SCALE" 'BEGIN { n = int(amount * scale); print n < 1 ? 1 : n }'
}

# The rows after gen work on its text, those after gzip16 on its archive; made without a line if nobody asked for them.
need_text() {
  [ -f "$directory/f16" ] || workloads gen "$(scaled 16)" "$directory/f16" >/dev/null
}
need_archive() {
  need_text
  [ -f "$directory/f16.gz" ] || gzip -c <"$directory/f16" >"$directory/f16.gz"
}

run_row() {
  case "$1" in
    gen) workloads gen "$(scaled 16)" "$directory/f16" ;;
    gzip16)
      need_text
      workloads sh gzip16 "gzip -c <$directory/f16 | tee $directory/f16.gz | md5sum"
      ;;
    gunzip16)
      need_archive
      workloads sh gunzip16 "gzip -dc <$directory/f16.gz | md5sum"
      ;;
    unxz4) workloads sh unxz4 "unxz -c <$data/f4.xz | md5sum" ;;
    md5-16)
      need_text
      workloads sh md5-16 "md5sum $directory/f16"
      ;;
    shloop) workloads sh shloop "exec busybox sh -c 'i=0; while [ \$i -lt $(scaled 50000) ]; do i=\$((i+1)); done; echo \$i'" ;;
    awk) workloads sh awk "awk 'BEGIN{for(i=0;i<$(scaled 150000);i++){s+=i%7;a[i%1000]=s};print s}'" ;;
    sort)
      need_text
      workloads sh sort "head -c $(scaled 4000000) $directory/f16 | sort | md5sum"
      ;;
    *) workloads "$1" ;;
  esac
}

[ $# -gt 0 ] && [ "$1" != all ] || set -- $compiled $shell
for name in "$@"; do
  case " $compiled $shell " in
    *" $name "*) run_row "$name" ;;
    *) echo "bench: there is no workload $name; there are: $compiled $shell" >&2 ;;
  esac
done
rm -f "$directory/f16" "$directory/f16.gz"
