# One line a target; what they do stands in scripts/.
.PHONY: help setup check fix test cluster chaos chaos-cluster demo bench quality
help:   ; @sed -n "s/^\([a-z-]*\):.*[#][#] /\1\t/p" Makefile
setup:  ; @scripts/setup                ## .venv from the lock file, with .venv/bin/partsong
check:  setup ; @scripts/check          ## style, types, floors, generated pages
fix:    setup ; @scripts/fix            ## format and regenerate
test:   setup ; @scripts/test           ## everything: checks, unit, behaviour, cluster, browser
cluster: setup ; @scripts/cluster       ## three Ray nodes and PostgreSQL on this machine, to try things on; Ctrl-C ends them
chaos:  setup ; @scripts/chaos          ## the long matrix of faults: every process killed, stopped, out of memory
chaos-cluster: setup ; @scripts/chaos-cluster  ## nodes, stores and networks that fail under a job on several hosts (ROWS=20000)
demo:   setup ; @scripts/demo           ## the main job on real models (MODELS=small|default|full)
bench:  setup ; @scripts/bench          ## speed against peers, in one run
quality: setup ; @scripts/quality      ## what learning is worth, cross-validated on recorded answers (DATA, FOLDS)
