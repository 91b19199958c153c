# One line a target; what they do stands in scripts/.
.PHONY: help setup check fix test chaos demo bench
help:   ; @sed -n "s/^\([a-z]*\):.*[#][#] /\1\t/p" Makefile
setup:  ; @scripts/setup                ## .venv from the lock file, with .venv/bin/partsong
check:  setup ; @scripts/check          ## style, types, floors, generated pages
fix:    setup ; @scripts/fix            ## format and regenerate
test:   setup ; @scripts/test           ## everything: checks, unit, behaviour, cluster, browser
chaos:  setup ; @scripts/chaos          ## the long matrix of faults: every process killed, stopped, out of memory
demo:   setup ; @scripts/demo           ## the main job on real models (MODELS=small|default|full)
bench:  setup ; @scripts/bench          ## speed against peers, in one run
