"""One iteration after another: draw, render, train, judge, move ψ."""
