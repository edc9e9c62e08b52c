build harbor_program
ports 9090 9100
& LB_THREADS=2 LB_ADDR=127.0.0.1:9090 LB_METRICS_ADDR=127.0.0.1:9100 BACKENDS=127.0.0.1:9001 build/release/harbor/harbor
wait listening on
sub compiler="[^"]*" => compiler="…"
$ curl -s http://127.0.0.1:9100/metrics
sub ^\d\S+Z info => 2026-…Z info
signal TERM
