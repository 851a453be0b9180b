#!/usr/bin/env bash
# The stack of docker-compose.yml as a person uses it: build, start, text to tokens, a model writes, an upload, a
# training job, its model writes; then stop and start, with a job in mid-run, and nothing may be lost.
#   tests/e2e/compose_smoke.sh                          with Docker
#   COMPOSE=podman-compose tests/e2e/compose_smoke.sh   with another compose; it may carry options
# Leaves nothing behind but the image. Ends non-zero at the first thing that is not as it should be.
set -euo pipefail
cd "$(dirname "$0")/../.."
read -ra compose <<<"${COMPOSE:-docker compose}"
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-inkling-smoke} INKLING_PORT=${INKLING_PORT:-18080}
base=http://127.0.0.1:$INKLING_PORT
ready_within_s=${READY_WITHIN_S:-300} job_within_s=${JOB_WITHIN_S:-600}
log=$(mktemp)

finish() {
  local status=$?
  ((status == 0)) || { "${compose[@]}" logs --tail 60 2>&1 || true; tail -n 40 "$log"; echo "compose_smoke: FAILED"; } >&2
  "${compose[@]}" down -v >>"$log" 2>&1 || status=1
  rm -f "$log"
  exit "$status"
}
trap finish EXIT

said() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
fail() { echo "compose_smoke: $*" >&2; exit 1; }
run() { "${compose[@]}" "$@" >>"$log" 2>&1; }
call() { curl --silent --show-error --fail-with-body --max-time 120 "$base$1" "${@:2}"; }
post() { call "$1" --header 'content-type: application/json' --data "$2"; }
# pick EXPRESSION: what a Python expression makes of the answer `a` on standard input.
pick() { python3 -c 'import json, sys; a = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }
same() { [[ $2 == "$3" ]] || fail "$1: expected '$2', got '$3'"; }

ready() {
  local until=$((SECONDS + ready_within_s))
  until curl --silent --fail --max-time 5 "$base/readyz" >/dev/null 2>&1; do
    ((SECONDS < until)) || fail "not ready within $ready_within_s s"
    sleep 1
  done
}

# job_until ID CONDITION: wait until a Python condition on the job `a` holds; a failed job ends the wait.
job_until() {
  local until=$((SECONDS + job_within_s)) job
  while job=$(call "/jobs/$1"); [[ $(pick "$2" <<<"$job") != True ]]; do
    [[ $(pick 'a["status"] in ("failed", "cancelled")' <<<"$job") != True ]] || fail "job: $job"
    ((SECONDS < until)) || fail "job not so far within $job_within_s s: $job"
    sleep 1
  done
}

train() { # train NAME DATASET STEPS: the id of the job
  post /jobs '{"recipe": "pretrain", "name": "'"$1"'", "dataset": "'"$2"'", "model": {"preset": "gpt-tiny"}, "seed": 7,
    "train": {"max_steps": '"$3"', "batch_size": 4, "learning_rate": 0.003, "checkpoint_every": 10}}' | pick 'a["id"]'
}

answer() { # answer MODEL: what it writes, greedily, always the same
  post /generate '{"model": "'"$1"'", "prompt": "Mara looked at the", "max_new_tokens": 12, "temperature": 0}' |
    pick 'a["choices"][0]["text"]'
}

run build web # the worker is the same image
said "built"
run up -d
ready
said "ready"

tokens='{"text": "Hello, do you like tea?"}'
same "tokens" "[15496, 11, 466, 345, 588, 8887, 30]" "$(post /tokenize "$tokens" | pick '[t["id"] for t in a["tokens"]]')"
said "text became tokens"
question='{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}'
told=$(post /generate "$question" | pick 'a["choices"][0]["text"]')
[[ $told == *Paris* ]] || fail "the default model said '$told'"
said "the default model wrote: $told"

dataset=$(call /datasets --form file=@samples/the-tide-clock.txt | pick 'a["id"]')
said "uploaded as $dataset"
job=$(train smoke "$dataset" 40)
job_until "$job" 'a["status"] == "succeeded"'
same "the job's model" "smoke" "$(call "/jobs/$job" | pick 'a["result"]["model"]')"
losses=$(call "/jobs/$job/metrics" | pick '[m["loss"] for m in a["data"] if m["loss"] is not None]')
[[ $(pick 'a[-1] < a[0]' <<<"$losses") == True ]] || fail "the loss did not fall: $losses"
wrote=$(answer smoke)
checkpoints=$(call "/jobs/$job/checkpoints" | pick 'sorted(c["step"] for c in a["data"])')
said "trained; its model wrote: $wrote"

long=$(train smoke-long "$dataset" 300)
job_until "$long" 'a["step"] >= 30'
run stop web worker # compose stops what depends on others first; not every compose does
run stop
said "stopped, with a job at mid-run"
! curl --silent --max-time 5 "$base/healthz" >/dev/null || fail "stopped, and still it answers"
run start postgres redis # not every compose starts first what others depend on
run start web worker
ready
said "started again"

same "the dataset" "$dataset" "$(call "/datasets/$dataset" | pick 'a["id"]')"
same "the job" "succeeded" "$(call "/jobs/$job" | pick 'a["status"]')"
same "its losses" "$losses" "$(call "/jobs/$job/metrics" | pick '[m["loss"] for m in a["data"] if m["loss"] is not None]')"
same "its checkpoints" "$checkpoints" "$(call "/jobs/$job/checkpoints" | pick 'sorted(c["step"] for c in a["data"])')"
same "the model's answer" "$wrote" "$(answer smoke)"
same "the default model's answer" "$told" "$(post /generate "$question" | pick 'a["choices"][0]["text"]')"
said "nothing lost: dataset, job, losses, checkpoints, answers"
job_until "$long" 'a["status"] == "succeeded"'
same "the interrupted job's steps" "300" "$(call "/jobs/$long" | pick 'a["step"]')"
said "the interrupted job went on and ended; attempt $(call "/jobs/$long" | pick 'a["attempt"]')"
echo "compose_smoke: passed"
