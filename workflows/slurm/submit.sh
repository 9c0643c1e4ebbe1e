#!/usr/bin/env bash
# Submit a whole study as batch jobs that wait for each other:
#
#   workflows/slurm/submit.sh workflows/local/wake.toml runs/wake
#
#   data -> fit (one array task per reducer and latent size) -> compare
#                                                            -> forecast (with the dynamics)
#                                                            -> archive (with [archive])
#                                                                       -> report
#
# A job that is killed or requeued goes on where it was; submitting again does only what is
# missing. Logs are in RUN/logs. Edit site.sh first.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: $0 STUDY.toml RUN_FOLDER" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
STUDY=$(realpath "$1")
mkdir -p "$2/logs"
RUN=$(realpath "$2")
source "$here/site.sh"
activate

steps=$(romae run "$STUDY" -o "$RUN" --list)  # checks the study before anything is queued
fits=$(grep -c '^fit/' <<<"$steps")
export STUDY RUN SITE="$here/site.sh"

# job NAME AFTER OPTIONS...: submit NAME.sbatch, to start when the jobs AFTER have succeeded
job() {
    local name=$1 after=$2
    shift 2
    sbatch --parsable --job-name="romae-$name" --output="$RUN/logs/$name-%j.log" \
        ${after:+--dependency=afterok:$after --kill-on-invalid-dep=yes} \
        "${ACCOUNT[@]}" "$@" "$here/$name.sbatch"
}

data=$(job data "" "${CPU[@]}")
fit=$(job fit "$data" "${TRAIN[@]}" --array="0-$((fits - 1))" --output="$RUN/logs/fit-%A-%a.log")
compare=$(job compare "$fit" "${CPU[@]}")
forecast=$(job forecast "$fit" "${CPU[@]}")
after=$compare:$forecast archive=none
if grep -q '^archive ' <<<"$steps"; then
    archive=$(job archive "$fit" "${CPU[@]}")
    after+=:$archive
fi
report=$(job report "$after" "${CPU[@]}")

echo "data $data, fit $fit ($fits tasks), compare $compare, forecast $forecast, archive $archive," \
    "report $report"
echo "report: $RUN/report/index.html"
