"""The ledger in PostgreSQL. What is on a command's way works in the caller's transaction and never commits.

Statements take arrays and unnest them: one statement a batch, whatever the batch holds, and one prepared plan. Locks
come first and alone; what they protect is read by later statements, because a statement that waits for a row lock wakes
with the locked row as it is now and everything else as it was before.

A batch's way is on the driver alone (`transaction`); what a worker asks once in a while goes through SQLAlchemy.
"""
