build ch01_program ch05_program ch05_tests ch05_unit_tests harness_echo
keep tests passed
$ ctest --test-dir build/release -L ch05 -j 4
