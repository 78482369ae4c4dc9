# Compiled as it is: its classes are Python's.
