"""The command line: the roof over everything, thin commands that parse, call and print."""
