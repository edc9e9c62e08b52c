build ch04_program
$ STRATEGY=fastest BACKENDS=127.0.0.1:9001 build/release/chapters/04_strategies/harbor; echo "status $?"
