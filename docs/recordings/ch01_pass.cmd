build ch01_program ch01_tests harness_echo
keep passed
$ HARBOR_UNDER_TEST=build/release/chapters/01_echo/echo build/release/chapters/01_echo/ch01_tests
