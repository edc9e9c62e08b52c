# The same two backends as in ch05_half_down, and then the second one comes up.
build ch01_program ch05_program
ports 9001 9002 9090
& build/release/chapters/01_echo/echo --id A 9001
wait listening on
& env LB_BACKEND_COOLDOWN_MS=500 BACKENDS=127.0.0.1:9001,127.0.0.1:9002 LB_ADDR=:9090 build/release/chapters/05_timeouts_retry/harbor
wait listening on
$ for client in 1 2 3 4; do echo "client $client: $(nc -N 127.0.0.1 9090 </dev/null)"; done
& build/release/chapters/01_echo/echo --id B 9002
wait listening on
$ until nc -N 127.0.0.1 9090 </dev/null | grep B; do sleep 0.1; done
$ for client in 1 2 3 4; do nc -N 127.0.0.1 9090 </dev/null; done | sort | uniq -c
