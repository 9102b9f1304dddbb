"""What is remembered: tables, frozen row types and named queries, one file a stored thing.

Owns every SQL statement and both databases' differences; decides nothing. A query takes the transaction
first and everything else by name; a row leaves as a frozen dataclass. Single use is one statement.
"""
