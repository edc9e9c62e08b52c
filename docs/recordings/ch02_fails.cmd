# Chapter 01's program on a test of this chapter: it knows nothing of the environment.
build ch01_program ch02_tests harness_echo
lines 7-21
$ HARBOR_UNDER_TEST=build/release/chapters/01_echo/echo build/release/chapters/02_tcp_proxy/ch02_tests "one byte passes through and back"
