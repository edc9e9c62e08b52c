build ch01_program ch06_program ch06_tests ch06_unit_tests harness_echo
keep tests passed
$ ctest --test-dir build/release -L ch06 -j 4
