"""D1: the contract of a D1 database, its adapters, and the migrations of the schema."""
