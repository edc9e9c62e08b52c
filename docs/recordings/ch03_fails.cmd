# Chapter 02's program on a test of this chapter: it takes one backend, and is given two.
# Which of the two comes first in the list goes by the ports they got, and is luck.
build ch02_program ch03_tests harness_echo
sub with the names [AB] [AB]$ => with the names B A
lines 7-27
$ HARBOR_UNDER_TEST=build/release/chapters/02_tcp_proxy/harbor build/release/chapters/03_round_robin/ch03_tests "two backends are taken in turn and share exactly"
