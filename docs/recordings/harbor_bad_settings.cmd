build harbor_program
$ BACKENDS=127.0.0.1:9001,nowhere build/release/harbor/harbor; echo "status $?"
$ BACKENDS=127.0.0.1:9001 build/release/harbor/harbor --threads many; echo "status $?"
