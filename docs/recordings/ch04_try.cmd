# The pause is for the balancer: a visitor that has gone must have stopped counting before the next one comes.
build ch01_program ch04_program
ports 9001 9002 9090
& build/release/chapters/01_echo/echo --id A 9001
wait 9001
& build/release/chapters/01_echo/echo --id B 9002
wait 9002
& STRATEGY=least-connections BACKENDS=127.0.0.1:9001,127.0.0.1:9002 LB_ADDR=:9090 build/release/chapters/04_strategies/harbor
wait listening on
& sleep 600 | nc 127.0.0.1 9090
wait A
$ for i in 1 2 3 4; do nc -N 127.0.0.1 9090 </dev/null; sleep 1; done
