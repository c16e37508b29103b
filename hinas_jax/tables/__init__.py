"""The paper's tables: definitions, the runs that they need, and what is written of them."""
