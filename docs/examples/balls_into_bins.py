"""How full the fullest bin gets when each ball goes to the emptiest of a few bins that are drawn at random.

Backends are the bins and connections the balls. Page 04 shows what it prints; the seed makes it the same every time.
"""
import random

random.seed(4)
for bins in (10, 1000, 100000):
    fullest = []
    for choices in (1, 2, 3):
        loads = [0] * bins
        for _ in range(bins):
            drawn = [random.randrange(bins) for _ in range(choices)]
            loads[min(drawn, key=loads.__getitem__)] += 1
        fullest.append(max(loads))
    print(f"{bins} balls into {bins} bins: the fullest has {fullest[0]} with one choice, {fullest[1]} with two,"
          f" {fullest[2]} with three")
