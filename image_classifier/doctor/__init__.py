"""What is wrong with pictures, records and runs: checks, findings, reports."""
