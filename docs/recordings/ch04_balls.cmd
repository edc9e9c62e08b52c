$ python3 docs/examples/balls_into_bins.py
