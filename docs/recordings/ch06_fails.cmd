build ch05_program ch06_tests harness_echo
lines 8-22
$ HARBOR_UNDER_TEST=build/release/chapters/05_timeouts_retry/harbor build/release/chapters/06_shutdown_metrics/ch06_tests "SIGINT drains*"
