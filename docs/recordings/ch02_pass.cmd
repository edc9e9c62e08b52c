build ch02_program ch02_tests harness_echo
keep passed
$ HARBOR_UNDER_TEST=build/release/chapters/02_tcp_proxy/harbor build/release/chapters/02_tcp_proxy/ch02_tests
