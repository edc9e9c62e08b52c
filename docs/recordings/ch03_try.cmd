build ch01_program ch03_program
ports 9001 9002 9090
& build/release/chapters/01_echo/echo --id A 9001
wait 9001
& build/release/chapters/01_echo/echo --id B 9002
wait 9002
& BACKENDS=127.0.0.1:9001,127.0.0.1:9002 LB_ADDR=:9090 build/release/chapters/03_round_robin/harbor
wait listening on
$ for i in 1 2 3 4 5 6; do nc -N 127.0.0.1 9090 </dev/null; done
