$ g++ -std=c++20 -DASIO_STANDALONE -fsyntax-only chapters/03_round_robin/workers.cpp && echo it compiles
