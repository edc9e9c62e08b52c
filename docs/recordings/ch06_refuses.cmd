build ch06_program
$ LB_SHUTDOWN_GRACE_MS=5s BACKENDS=127.0.0.1:9001 build/release/chapters/06_shutdown_metrics/harbor; echo "status $?"
$ LB_METRICS_ADDR=9100 BACKENDS=127.0.0.1:9001 build/release/chapters/06_shutdown_metrics/harbor; echo "status $?"
