build ch04_program ch04_tests ch04_unit_tests harness_echo
keep passed
$ HARBOR_UNDER_TEST=build/release/chapters/04_strategies/harbor build/release/chapters/04_strategies/ch04_tests
keep passed
$ build/release/chapters/04_strategies/ch04_unit_tests
