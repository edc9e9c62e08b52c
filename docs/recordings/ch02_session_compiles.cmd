$ g++ -std=c++20 -DASIO_STANDALONE -fsyntax-only chapters/02_tcp_proxy/session.cpp && echo it compiles
