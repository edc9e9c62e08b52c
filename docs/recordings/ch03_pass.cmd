build ch03_program ch03_tests ch03_unit_tests harness_echo
keep passed
$ HARBOR_UNDER_TEST=build/release/chapters/03_round_robin/harbor build/release/chapters/03_round_robin/ch03_tests
keep passed
$ build/release/chapters/03_round_robin/ch03_unit_tests
