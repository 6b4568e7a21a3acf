"""Whether the running release can live with what a new one's migrations do: expand first, contract when nobody needs it any more.

Run by the new release's Python, in its environment: `python -m laurel_relay.migrations`. Code 0: nothing stands against it; 3: it names
each operation that would break the release that serves. A migration whose author knows better says so in an attribute:
`safe_for_running_release = "why"`.
"""

import sys

BREAKS = 3
# What the running release would miss, or trip over.
GONE = {
    "RemoveField": "the running release still selects the column",
    "DeleteModel": "the running release still uses the table",
    "RenameField": "the running release still uses the old name",
    "RenameModel": "the running release still uses the old table",
    "AlterModelTable": "the running release still uses the old table",
    "AddConstraint": "the running release may write rows that it forbids",
    "AlterUniqueTogether": "the running release may write rows that it forbids",
    "RunSQL": "what SQL does cannot be judged",
    "SeparateDatabaseAndState": "what it does cannot be judged",
}


def complaints(plan, state_before):
    """[(migration, operation, why)] of what would break; `plan` are the migrations that are not applied, in order."""
    found, new_models, state = [], set(), state_before
    for migration in plan:
        safe = getattr(migration, "safe_for_running_release", "")
        for operation in migration.operations:
            name = type(operation).__name__
            model = (migration.app_label, getattr(operation, "model_name", getattr(operation, "name", "")).lower())
            if name == "CreateModel":
                new_models.add(model)
            elif not safe and model not in new_models and (why := judge(operation, name, model, state)):
                found.append((f"{migration.app_label}.{migration.name}", operation.describe(), why))
            operation.state_forwards(migration.app_label, state)
    return found


def judge(operation, name, model, state):
    """Why an operation on a table that the running release knows would break it, or None."""
    if name == "AddField":
        return added(operation.field)
    if name == "AlterField":
        return altered(state.models[model].fields[operation.name], operation.field)
    return GONE.get(name)


def added(field):
    from django.db.models import NOT_PROVIDED

    if field.many_to_many or field.null or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED:
        return None
    return "the running release inserts rows without it; make it null=True or give it a db_default"


def altered(before, after):
    if before.null and not after.null:
        return "the running release may still write NULL"
    if before.get_internal_type() != after.get_internal_type():
        return f"the type changes from {before.get_internal_type()} to {after.get_internal_type()}"
    if (after.max_length or 0) < (before.max_length or 0):
        return f"it becomes shorter: {before.max_length} to {after.max_length}"
    if after.unique and not before.unique:
        return "the running release may write rows that it forbids"
    return None


def main():
    import django

    django.setup()
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    plan = [migration for migration, backwards in executor.migration_plan(executor.loader.graph.leaf_nodes()) if not backwards]
    applied = [node for node in executor.loader.graph.nodes if node in executor.loader.applied_migrations]
    found = complaints(plan, executor.loader.project_state(applied)) if plan else []
    for migration, operation, why in found:
        print(f"{migration}: {operation}: {why}")
    if found:
        print("Expand first (add, keep the old), deploy, and contract in a later release; or deploy it all the same with FORCE=1.")
    return BREAKS if found else 0


if __name__ == "__main__":
    sys.exit(main())
