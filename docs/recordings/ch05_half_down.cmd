# Two backends are configured, one of them runs: chapter 04's program sends every second client away.
build ch01_program ch04_program
ports 9001 9002 9090
& build/release/chapters/01_echo/echo --id A 9001
wait listening on
& env BACKENDS=127.0.0.1:9001,127.0.0.1:9002 LB_ADDR=:9090 build/release/chapters/04_strategies/harbor
wait listening on
$ for client in 1 2 3 4; do echo "client $client: $(nc -N 127.0.0.1 9090 </dev/null)"; done
