build ch04_program ch05_tests harness_echo
lines 8-22
$ HARBOR_UNDER_TEST=build/release/chapters/04_strategies/harbor build/release/chapters/05_timeouts_retry/ch05_tests "thirty of thirty*"
