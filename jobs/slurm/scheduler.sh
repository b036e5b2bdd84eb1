# What Slurm knows of this job, and how it is queued again.

# The last task of an array has the array's own number: asked by it, Slurm would speak of all tasks.
my_job=$SLURM_JOB_ID
if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then my_job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID; fi

# Seconds since 1970. Slurm 22.05 has no variable for it.
job_end() {
  local end
  end=$(squeue -h -j "$my_job" -o %e) && [ -n "$end" ] && date -d "$end" +%s 2>/dev/null
}

# From submission, or from being queued again, to this start.
queue_seconds() {
  local times
  times=$(squeue -h -j "$my_job" -o '%V %S') && [ -n "$times" ] || return
  echo $(($(date -d "${times#* }" +%s) - $(date -d "${times% *}" +%s)))
}

# One line a rank.
list_hosts() {
  local host i
  for host in $(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n "$nodes"); do
    for ((i = 0; i < ranks_per_node; i++)); do echo "$host"; done
  done
}

# A job that someone cancels is not brought back.
is_cancelled() { [ "$(squeue -h -j "$my_job" -o %T)" != RUNNING ]; }

# Does every node of the job still start a process?
a_node_is_dead() {
  ! timeout 60 srun --mpi=none --overlap --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    --ntasks-per-node=1 --kill-on-bad-exit=1 true
}

requeue() {
  say "queued again"
  trap - TERM USR1
  scontrol requeue "$my_job" || return
  while :; do sleep 10; done  # until Slurm ends this part
}

# submit_next SCRIPT: one more job that starts when this one has ended; prints its id.
submit_next() { sbatch --parsable --dependency="afterany:$my_job" "$1"; }
cancel_next() { scancel "$1"; }
this_job() { echo "$my_job"; }

# Where Slurm keeps accounts they are asked when a part has ended; elsewhere steps are known only while they run, and the
# last look at them has to do.
has_accounts() {
  case $(scontrol show config 2>/dev/null | sed -n 's/^AccountingStorageType *= *//p') in
    '' | '(null)' | */none) return 1 ;;
  esac
}
measures_energy() {
  case $(scontrol show config 2>/dev/null | sed -n 's/^AcctGatherEnergyType *= *//p') in
    '' | '(null)' | */none) return 1 ;;
  esac
}
usage_format=JobID,MaxRSS,ConsumedEnergyRaw
watch_usage() {
  local pause=1 sleeping
  rm -f "$job/usage.seen"
  if has_accounts; then return; fi
  trap 'kill "$sleeping" 2>/dev/null; exit' TERM
  while :; do
    if sstat --allsteps --noheader --parsable2 -j "$SLURM_JOB_ID" -o $usage_format >"$job/usage.look" 2>/dev/null &&
      [ -s "$job/usage.look" ]; then mv "$job/usage.look" "$job/usage.seen"; fi
    sleep $pause &
    sleeping=$!
    wait $sleeping
    pause=$((pause < 30 ? 2 * pause : 30))
  done
}

# What Slurm measured of this part, as fields of a JSON object: memory of the largest task in bytes, energy in joules.
usage_fields() {
  local lines source
  if has_accounts; then
    lines=$(timeout 20 sacct --noheader --parsable2 -j "$my_job" -o $usage_format 2>/dev/null)
    source='MaxRSS of sacct'
  else
    lines=$(cat "$job/usage.seen" 2>/dev/null)
    source='MaxRSS of sstat, last look while it ran: accounting is off'
  fi
  if measures_energy; then source+='; ConsumedEnergyRaw'; else source+='; no energy: Slurm does not measure it here'; fi
  awk -F '|' -v source="$source" -v energy="$(measures_energy && echo 1)" '
    { bytes = $2 * ($2 ~ /K$/ ? 1024 : $2 ~ /M$/ ? 1048576 : $2 ~ /G$/ ? 1073741824 : 1)
      if (bytes > most) most = bytes
      if ($1 ~ /\./ && $1 !~ /extern/ && $3 ~ /^[0-9]+$/ && $3 < 4294967294) { joules += $3; told = 1 } }  # else not known
    END { printf "\"memory\":%s,\"energy\":%s,\"source\":\"%s\"", most ? sprintf("%.0f", most) : "null",
            energy && told ? sprintf("%.0f", joules) : "null", most ? source : "nothing was measured; " source }' <<<"$lines"
}
