"""A checkup: what PostgreSQL and Valkey are asked when somebody wants to know whether all is well.

Each question is a function over a connection, reads only, and gives one `Finding`. Owns what is
right and what to do where it is not; whom to ask, and how it is said, is the command's.
"""
