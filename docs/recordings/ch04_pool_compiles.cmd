$ g++ -std=c++20 -DASIO_STANDALONE -fsyntax-only chapters/04_strategies/pool.cpp && echo it compiles
