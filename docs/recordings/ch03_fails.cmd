# Chapter 02's program on a test of this chapter: it takes one backend, and is given two.
build ch02_program ch03_tests harness_echo
lines 7-27
$ HARBOR_UNDER_TEST=build/release/chapters/02_tcp_proxy/harbor build/release/chapters/03_round_robin/ch03_tests "two backends are taken in turn and share exactly"
