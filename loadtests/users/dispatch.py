"""Which worker gets which user: a crowd never shares a process with those who measure."""

from typing import Any

from locust.dispatch import UsersDispatcher


def crowds(environment: Any) -> int:
    """How many users of the test are crowds: these hold sockets and pace nothing."""
    return sum(u.fixed_count for u in environment.user_classes if getattr(u, "apart", False))


class ApartDispatcher(UsersDispatcher):
    """With two workers or more, user classes that say `apart = True` get workers of their own; the others share the rest.

    With one worker, or none of such classes, it is Locust's own dispatcher.
    """

    def _apart(self) -> dict[str, int]:
        return {u.__name__: u.fixed_count for u in self._user_classes if getattr(u, "apart", False)}

    def _place(self, user: str, taken: dict[str, dict[str, int]]) -> Any:
        apart = self._apart()
        # At least one worker stays for the others.
        split = min(max(1, sum(apart.values())), len(self._worker_nodes) - 1)
        nodes = self._worker_nodes[:split] if user in apart else self._worker_nodes[split:]
        return min(nodes, key=lambda node: sum(taken[node.id].values()))

    @property
    def _is_needed(self) -> bool:
        apart = self._apart()
        return len(self._worker_nodes) > 1 and 0 < len(apart) < len(self._user_classes)

    def _add_users_on_workers(self) -> dict[str, dict[str, int]]:
        if not self._is_needed:
            return super()._add_users_on_workers()
        target = min(self._current_user_count + self._user_count_per_dispatch_iteration, self._target_user_count)
        while self._current_user_count < target:
            user = next(self._user_generator)
            if not user:
                self._no_user_to_spawn = True
                break
            node = self._place(user, self._users_on_workers)
            self._users_on_workers[node.id][user] += 1
            self._current_user_count += 1
            self._active_users.append((node, user))
        return self._users_on_workers

    def _distribute_users(self, target_user_count: int) -> Any:
        if not self._is_needed:
            return super()._distribute_users(target_user_count)
        users_on_workers, users, nodes, active = super()._distribute_users(0)
        for _ in range(target_user_count):
            user = next(users)
            if not user:
                break
            node = self._place(user, users_on_workers)
            users_on_workers[node.id][user] += 1
            active.append((node, user))
        return users_on_workers, users, nodes, active
