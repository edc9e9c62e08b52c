# Chapter 03's program on a test of this chapter: it does not know the variable STRATEGY and goes round.
build ch03_program ch04_tests harness_echo
lines 7-23
$ HARBOR_UNDER_TEST=build/release/chapters/03_round_robin/harbor build/release/chapters/04_strategies/ch04_tests "least-connections leaves the busy backend alone"
