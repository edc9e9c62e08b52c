build ch01_program
ports 9001 9002
& build/release/chapters/01_echo/echo --id A 9001 9002
wait 9002
$ echo 'is anybody there?' | nc -N 127.0.0.1 9001
$ echo 'and here?' | nc -N 127.0.0.1 9002
