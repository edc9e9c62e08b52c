# A program called echo that every system has: it ends at once, and none of the tests is content with it.
build ch01_tests harness_echo
lines 8-26
$ HARBOR_UNDER_TEST=/bin/echo build/release/chapters/01_echo/ch01_tests "one byte comes back"
