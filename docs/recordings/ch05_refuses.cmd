build ch05_program
$ LB_IO_TIMEOUT_MS=10s BACKENDS=127.0.0.1:9001 build/release/chapters/05_timeouts_retry/harbor; echo "status $?"
$ LB_MAX_INFLIGHT=0 BACKENDS=127.0.0.1:9001 build/release/chapters/05_timeouts_retry/harbor; echo "status $?"
$ LB_TCP_NODELAY=maybe BACKENDS=127.0.0.1:9001 build/release/chapters/05_timeouts_retry/harbor; echo "status $?"
