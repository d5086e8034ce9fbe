"""The conversations of a round: a prompt set asked in the background, one conversation for each prompt."""

from __future__ import annotations

from store.sqlite import Database


def answers(db: Database, round_id: str) -> list[tuple[str, int, str]]:
    """Return (conversation, pane, state) of each saved answer of a round."""
    rows = db.execute(
        """SELECT m.conversation_id, m.pane, m.state FROM messages m JOIN conversations c ON c.id = m.conversation_id
           WHERE c.round = ? AND m.pane IS NOT NULL AND m.state != 'replaced' AND m.turn = 1""",
        [round_id],
    )
    return [(str(one), int(pane), str(state)) for one, pane, state in rows]


def complete(db: Database, round_id: str) -> list[str]:
    """Return the ids of the conversations of a round with at least two answers that did not fail."""
    rows = db.execute(
        """SELECT c.id FROM conversations c JOIN messages m ON m.conversation_id = c.id
           WHERE c.round = ? AND m.turn = 1 AND m.pane IS NOT NULL AND m.state = 'complete'
           GROUP BY c.id
           HAVING count(*) > 1 AND count(*) = (SELECT count(*) FROM panes p WHERE p.conversation_id = c.id)
           ORDER BY c.id""",
        [round_id],
    )
    return [str(one) for (one,) in rows]


def forget(db: Database, round_id: str) -> None:
    """Delete the conversations of a round; those that were voted on stay."""
    unvoted = "SELECT id FROM conversations WHERE round = ? AND id NOT IN (SELECT conversation_id FROM votes)"
    with db.atomic():
        for table in ("messages", "panes"):
            db.conn.execute(f"DELETE FROM {table} WHERE conversation_id IN ({unvoted})", [round_id])
        db.conn.execute(f"DELETE FROM conversations WHERE id IN ({unvoted})", [round_id])
