build ch01_program ch04_program ch05_program
ports 9001 9090 9091
& build/release/chapters/01_echo/echo --id A 9001
wait listening on
& env BACKENDS=127.0.0.1:9001 LB_ADDR=:9091 build/release/chapters/04_strategies/harbor
wait listening on
& env LB_IO_TIMEOUT_MS=500 BACKENDS=127.0.0.1:9001 LB_ADDR=:9090 build/release/chapters/05_timeouts_retry/harbor
wait listening on
$ timeout 3 nc 127.0.0.1 9091 </dev/null; echo "status $?"
$ timeout 30 nc 127.0.0.1 9090 </dev/null; echo "status $?"
