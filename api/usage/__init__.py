"""Questions about usage and their answers, as series, summaries, charts and reports share them.

Owns nothing of GraphQL: whoever asks here, the same question has the same figures (FI-2).
"""

from api.usage.answer import Answer, Line, answer_of, ask
from api.usage.filters import only, selection_of
from api.usage.question import Frame, Question, question_of

__all__ = [
    "Answer",
    "Frame",
    "Line",
    "Question",
    "answer_of",
    "ask",
    "only",
    "question_of",
    "selection_of",
]
