build ch01_program ch02_program
ports 9001 9090
& build/release/chapters/01_echo/echo --id A 9001
wait 9001
& BACKENDS=127.0.0.1:9001 LB_ADDR=:9090 build/release/chapters/02_tcp_proxy/harbor
wait listening on
$ nc -N 127.0.0.1 9090 </dev/null
$ echo 'is anybody there?' | nc -N 127.0.0.1 9090
$ head -c 10000000 /dev/urandom | nc -N 127.0.0.1 9090 | wc -c
