# Chapter 05's program in the middle of a conversation: the client waits until the port is closed, and goes on then.
build ch01_program ch05_program
ports 9001 9090
& build/release/chapters/01_echo/echo --id A 9001
wait listening on
& env BACKENDS=127.0.0.1:9001 LB_ADDR=:9090 build/release/chapters/05_timeouts_retry/harbor
wait listening on
silent
$ rm -f build/answer; (echo before; while ss -Hltn 'sport = :9090' | grep -q .; do sleep 0.1; done; echo after) 2>&1 | nc -N 127.0.0.1 9090 >build/answer 2>&1 &
silent
$ until grep -qs before build/answer; do sleep 0.1; done
signal TERM
$ cat build/answer
