from django.db import migrations

# The same rows everywhere, so that two databases can be compared.
INSERT = """
INSERT INTO workload_row (id, number)
SELECT id, (id * 7919) % 10000 FROM generate_series(1, 10000) AS id
"""


class Migration(migrations.Migration):
    dependencies = [("workload", "0001_initial")]
    operations = [migrations.RunSQL(INSERT, "DELETE FROM workload_row")]
