build ch02_program
$ build/release/chapters/02_tcp_proxy/harbor; echo "status $?"
$ BACKENDS=::1:9001 build/release/chapters/02_tcp_proxy/harbor; echo "status $?"
$ BACKENDS=no..such.host:9001 build/release/chapters/02_tcp_proxy/harbor; echo "status $?"
