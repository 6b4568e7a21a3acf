"""What operations and faults cost those who are connected: steady load, one operation after another, and what was felt."""
