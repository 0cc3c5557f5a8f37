#!/usr/bin/env bash
# Scales the instances of compose.yaml, waits until all are ready, shows who reads what.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: deploy/scale_instances.sh N [SECONDS]

Scales to N instances and waits, 120 seconds or SECONDS at most, until all are ready and every
partition is read. Beyond the number of partitions of a topic (6), instances have nothing to read.

  deploy/scale_instances.sh 5
  HUB=http://hub:9400 deploy/scale_instances.sh 3

exit codes: 0 all are ready, 1 not in time, 2 usage, 3 the hub does not answer
TEXT
}

wanted=${1:-}
limit=${2:-120}
if ! [[ $wanted =~ ^[1-9][0-9]*$ && $limit =~ ^[1-9][0-9]*$ ]]; then
    usage >&2
    exit 2
fi
hub=${HUB:-http://localhost:9400}
cd "$(dirname "$0")"

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' bold=$'\e[1m' off=$'\e[0m'
else
    red='' green='' yellow='' bold='' off=''
fi

fleet() { curl -fsS --max-time 5 "$hub/api/fleet"; }

if ! before=$(fleet); then
    echo "${red}no hub answers at $hub${off}: start all of it with docker compose up -d" >&2
    exit 3
fi
echo "from $(jq '.totals.up' <<<"$before") to $wanted instances"
if ((wanted > 6)); then
    echo "${yellow}topics have 6 partitions unless you gave them more: some instances will idle${off}"
fi
docker compose -f compose.yaml up -d --no-recreate --scale "data-bridge=$wanted" data-bridge

# Those that went away are still known for a while, as left.
ready='([.instances[] | select(.life != "left")] | length == $wanted and all(.ready))'
read_all='([.instances[].partitions[] | "\(.topic):\(.partition)"] | length > 0 and length == (unique | length))'
page=$before
began=$SECONDS
while ((SECONDS - began < limit)); do
    if page=$(fleet) && jq -e --argjson wanted "$wanted" "$ready and $read_all" <<<"$page" >/dev/null; then
        all=yes
        break
    fi
    sleep 1
done

echo
jq -r '.instances[] | select(.life != "left")
    | [.instance_id, (if .ready then "ready" else .life + " not-ready" end), (.partitions | length), .lag,
       ([.partitions[] | select(.topic == "tick_archive") | .partition] | sort | map(tostring) | join(","))]
    | @tsv' <<<"$page" |
    while IFS=$'\t' read -r id health partitions lag ticks; do
        colour=$green
        [[ $health == ready ]] || colour=$red
        printf '%s%-16s %-14s%s %3d partitions, lag %7d, tick_archive %s\n' \
            "$colour" "$id" "$health" "$off" "$partitions" "$lag" "${ticks:-none}"
    done
if [[ ${all:-} == yes ]]; then
    echo "${bold}${green}$wanted of $wanted ready after $((SECONDS - began)) s${off}"
else
    echo "${bold}${red}not ready within $limit s${off}: docker compose -f deploy/compose.yaml logs data-bridge" >&2
    exit 1
fi
