$ g++ -std=c++20 -DASIO_STANDALONE -fsyntax-only chapters/01_echo/session.cpp && echo it compiles
