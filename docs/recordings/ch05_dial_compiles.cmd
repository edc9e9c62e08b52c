$ g++ -std=c++20 -DASIO_STANDALONE -fsyntax-only chapters/05_timeouts_retry/dial.cpp && echo it compiles
