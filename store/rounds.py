"""The conversations of a round: a prompt set asked in the background, one conversation for each prompt."""

from __future__ import annotations

from store import conversations
from store.conversations import Message
from store.sqlite import Database


def answers(db: Database, round_id: str) -> list[tuple[str, int, str]]:
    """Return (conversation, pane, state) of each shown answer to the prompts of a round."""
    return db.execute(
        """SELECT m.conversation_id, m.pane, m.state FROM messages m JOIN conversations c ON c.id = m.conversation_id
           WHERE c.round = ? AND m.pane IS NOT NULL AND m.turn = 1 AND m.shown""",
        [round_id],
    ).fetchall()


def save_answer(db: Database, message: Message) -> None:
    """Save an answer to the prompt of a round, and show it instead of the earlier versions, which failed."""
    with db.atomic():
        db.conn.execute(
            "UPDATE messages SET shown = 0 WHERE conversation_id = ? AND turn = ? AND pane = ?",
            (message.conversation_id, message.turn, message.pane),
        )
        conversations.save_message(db, message)


def complete(db: Database, round_id: str) -> list[str]:
    """Return the ids of the conversations of a round that can be voted on.

    At least two panes answered the prompt, none failed, and each shows an answer of one writer.
    """
    return db.column(
        """SELECT c.id FROM conversations c JOIN messages m ON m.conversation_id = c.id
           WHERE c.round = ? AND m.turn = 1 AND m.pane IS NOT NULL AND m.shown AND m.state = 'complete'
               AND json_array_length(m.spans) <= 1
           GROUP BY c.id
           HAVING count(DISTINCT m.pane) > 1
               AND count(DISTINCT m.pane) = (SELECT count(*) FROM panes p WHERE p.conversation_id = c.id)
           ORDER BY c.id""",
        [round_id],
    )


def forget(db: Database, round_id: str) -> None:
    """Delete the conversations of a round, except those that were voted on or continued."""
    untouched = """SELECT c.id FROM conversations c WHERE c.round = ?
        AND c.id NOT IN (SELECT conversation_id FROM votes)
        AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.conversation_id = c.id AND (m.turn > 1 OR NOT m.shown))"""
    with db.atomic():
        ids = db.column(untouched, [round_id])
        for statement in (
            "DELETE FROM message_tokens WHERE message_id IN (SELECT id FROM messages WHERE conversation_id = ?)",
            "DELETE FROM messages WHERE conversation_id = ?",
            "DELETE FROM panes WHERE conversation_id = ?",
            "DELETE FROM conversations WHERE id = ?",
        ):
            db.conn.executemany(statement, [(one,) for one in ids])
