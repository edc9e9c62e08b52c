# A client that never leaves.
build ch01_program ch06_program
ports 9001 9090 9100
& build/release/chapters/01_echo/echo --id A 9001
wait listening on
& env LB_SHUTDOWN_GRACE_MS=500 BACKENDS=127.0.0.1:9001 LB_ADDR=:9090 LB_METRICS_ADDR=127.0.0.1:9100 build/release/chapters/06_shutdown_metrics/harbor
wait listening on
silent
$ rm -f build/answer; nc 127.0.0.1 9090 </dev/null >build/answer 2>&1 &
silent
$ until grep -qs A build/answer; do sleep 0.1; done
signal TERM
