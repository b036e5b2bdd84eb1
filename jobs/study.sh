# The points of a scaling study, one after another on this job's nodes. Sourced by jobs/slurm/scaling, jobs/pbs/scaling and
# jobs/local/scaling behind part.sh. Expects: study (its folder), job (study/job), bin, deck, deck_settings, launcher.

# A point is done when its run has reached its length.
is_done() { grep -q '"code": *0' "$1/exit.json" 2>/dev/null && [ -f "$1/report.json" ]; }

# Table, CSV and page of what there is so far; several jobs of a study may do so at once.
report_study() {
  local file
  for file in "--csv scaling.csv" "--page=$study/scaling.html scaling.txt"; do
    "$bin/trireme-report" --scaling "$study" ${file% *} >"$study/${file#* }.$$" && mv "$study/${file#* }.$$" "$study/${file#* }"
  done
}

# A run that ended before it could say why: the program's own words, where it had any.
note_failure() {
  local words
  words=$(grep -m 1 -e 'expected ' -e 'error' "$run/output.txt" | tr -d '\000-\037"\\' | cut -c 1-300)
  echo "{\"code\": $code, \"reason\": \"${words:-killed, or its launcher failed} (see output.txt of its folder)\"}" >"$run/exit.json"
}

# point RUN NODES RANKS RANKS_PER_NODE THREADS SETTING...: one line of points.sh. Those that take other numbers of nodes are
# another job's, those that are done stay. A point that failed before is run anew.
point() {
  [ "$wanted_nodes" = any ] || [ "$2" = "$wanted_nodes" ] || return 0
  run=$study/$1 nodes=$2 ranks=$3 ranks_per_node=$4 threads=$5
  if is_done "$run"; then say "$1 is done"; return 0; fi
  if [ "$interrupted" = 1 ]; then return 0; fi
  rm -rf "$run"
  mkdir -p "$run"
  export OMP_NUM_THREADS=$threads
  launch "$bin/trireme-pretrain" "$deck" --run-dir "$run" ${deck_settings[@]+"${deck_settings[@]}"} "${@:6}" \
    >"$run/output.txt" 2>&1
  if is_done "$run"; then
    say "$1: measured"
  else
    failed=$((failed + 1))
    [ -f "$run/exit.json" ] || note_failure
    say "$1: ended with $code: $run/output.txt"
    # 10: someone asked this job to end. What is left waits for the next submission.
    if [ "$code" = 10 ]; then interrupted=1; fi
  fi
  report_study
}

# run_points NODES: those of NODES nodes, or any. Exit code 1 where one failed.
run_points() {
  wanted_nodes=$1 failed=0 interrupted=0
  . "$job/points.sh"
  report_study
  say "points that failed: $failed; the study's page is $study/scaling.html"
  [ "$failed" = 0 ]
}
