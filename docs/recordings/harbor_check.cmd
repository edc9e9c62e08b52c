build harbor_program
$ BACKENDS=localhost:9001,127.0.0.1:9002 build/release/harbor/harbor --check --threads 2 --strategy lc
