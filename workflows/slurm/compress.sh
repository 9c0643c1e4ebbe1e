#!/usr/bin/env bash
# Submit an archive as batch jobs, PARTS of them after one that plans:
#
#   workflows/slurm/compress.sh PARTS [arguments of `romae compress`]
#   workflows/slurm/compress.sh 8 'runs/wake-*.nc' -o wake.romae --rel 1e-3
#
# The archive lies on a file system that all nodes see. Its bytes do not depend on PARTS. Submitting the
# same again does what is missing. Logs are in the folder you are in. Edit site.sh first.
set -euo pipefail

if [ $# -lt 3 ] || ! [ "$1" -gt 0 ] 2> /dev/null; then
    echo "usage: $0 PARTS FILES -o ARCHIVE.romae --rel E [options of romae compress]" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PARTS=$1 SITE="$here/site.sh"
shift
source "$SITE"

plan=$(sbatch --parsable --job-name=romae-plan --output=romae-plan-%j.log \
    "${ACCOUNT[@]}" "${CPU[@]}" "$here/compress.sbatch" "$@")
parts=$(sbatch --parsable --job-name=romae-compress --output=romae-compress-%A-%a.log \
    --dependency="afterok:$plan" --kill-on-invalid-dep=yes --array="0-$((PARTS - 1))" \
    "${ACCOUNT[@]}" "${CPU[@]}" "$here/compress.sbatch" "$@")
echo "plan $plan, compress $parts ($PARTS tasks)"
