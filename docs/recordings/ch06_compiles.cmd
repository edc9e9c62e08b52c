$ cd chapters/06_shutdown_metrics && g++ -std=c++20 -DASIO_STANDALONE -fsyntax-only workers.cpp && echo it compiles
