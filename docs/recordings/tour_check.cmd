build harbor_program
$ LB_DIAL_RETRIES=2 build/release/harbor/harbor --backends 127.0.0.1:9001,127.0.0.1:9002 --threads 4 --check
$ LB_DIAL_RETRIES=two build/release/harbor/harbor --backends 127.0.0.1:9001 --check
$ build/release/harbor/harbor --backends 127.0.0.1:9001 --dial-timeout 1.5s --check
