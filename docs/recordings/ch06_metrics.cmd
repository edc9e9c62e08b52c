# One backend runs, one does not; four clients come and go, and a fifth one stays.
build ch01_program ch06_program
ports 9001 9002 9090 9100
& build/release/chapters/01_echo/echo --id A 9001
wait listening on
& env LB_BACKEND_COOLDOWN_MS=60000 BACKENDS=127.0.0.1:9001,127.0.0.1:9002 LB_ADDR=:9090 LB_METRICS_ADDR=127.0.0.1:9100 build/release/chapters/06_shutdown_metrics/harbor
wait listening on
$ for client in 1 2 3 4; do nc -N 127.0.0.1 9090 </dev/null; done
silent
$ rm -f build/answer; nc 127.0.0.1 9090 </dev/null >build/answer 2>&1 &
silent
$ until grep -qs A build/answer && curl -s http://127.0.0.1:9100/metrics | grep -q 'active_conns 1'; do sleep 0.1; done
$ curl -s http://127.0.0.1:9100/metrics | grep -v '^# HELP'
$ curl -s -H 'Accept: application/json' http://127.0.0.1:9100/metrics
$ curl -si -X DELETE http://127.0.0.1:9100/metrics
