build ch03_program
ports 9090
& LB_ALLOW_DEV_SEED=1 LB_ADDR=:9090 build/release/chapters/03_round_robin/harbor
wait listening on
signal TERM
$ build/release/chapters/03_round_robin/harbor; echo "status $?"
$ BACKENDS=10.0.0.1:80,,10.0.0.2:80 build/release/chapters/03_round_robin/harbor; echo "status $?"
$ BACKENDS=10.0.0.1:80,10.0.0.1:80 build/release/chapters/03_round_robin/harbor; echo "status $?"
$ BACKENDS=10.0.0.1:80 LB_THREADS=2x build/release/chapters/03_round_robin/harbor; echo "status $?"
