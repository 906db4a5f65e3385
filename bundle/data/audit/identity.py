"""Names, numbers and dates of a study's women, so that an audit can find them in texts and never repeat them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from ...dicom.identity import bare, found_identity, masked

__all__ = ["StudyIdentity"]


class StudyIdentity:
    """The words of all headers of a study. All of them are hidden; not all raise an alarm.

    A name that stands in the headers of every woman (of ``many`` or more) names none of them, the ``TRIAL`` of
    TRIAL^0001; words of fewer than ``alarming`` letters stand everywhere; an issuer of IDs is no woman.

    Args:
        words: of each woman: word -> kind, from ``identifying_words``.
        many: how many women must share a name that raises no alarm.
        alarming: letters of the shortest word that raises an alarm.
    """

    def __init__(self, words: Iterable[Mapping[str, str]], many: int = 5, alarming: int = 3) -> None:
        of_women = [told for told in words if told]
        self.words: dict[str, str] = {}
        for told in of_women:
            self.words.update({word: kind for word, kind in told.items() if kind != "issuer" or word not in self.words})
        self.bare = {word: bare(word) for word in self.words}
        shared = set.intersection(*(set(told) for told in of_women)) if len(of_women) >= many else set()
        self.alarms = {
            word
            for word, kind in self.words.items()
            if len(self.bare[word]) >= alarming and kind != "issuer" and not (kind == "name" and word in shared)
        }
        self._by_start: dict[str, list[str]] = defaultdict(list)
        for word, plain in self.bare.items():
            self._by_start[plain[:3]].append(word)

    def kinds(self, text: str, words: Iterable[str] | None = None) -> list[str]:
        """Kinds of the words in a text ("name", "patient ID", "date" ...), of all words or of some ``words``."""
        suspects = self._suspects(text)
        chosen = self.alarms if words is None else self.alarms.intersection(words)
        return found_identity(text, {word: kind for word, kind in suspects.items() if word in chosen})

    def kinds_of_others(self, text: str, own: Collection[str], shortest: int = 5) -> list[str]:
        """Kinds "name" and "patient ID" of words of ``shortest`` letters or more that are not a woman's ``own``."""
        return self.kinds(
            text,
            [
                word
                for word, kind in self._suspects(text).items()
                if kind in ("name", "patient ID") and word not in own and len(self.bare[word]) >= shortest
            ],
        )

    def masked(self, text: str, numbers: bool = True) -> str:
        """The text without any of those words and without whatever looks like a date.

        Args:
            text: to be shown.
            numbers: whether to hide IDs that are mere numbers of up to four digits, too; not among measures.
        """
        suspects = self._suspects(text)
        if not numbers:
            suspects = {word: kind for word, kind in suspects.items() if len(self.bare[word]) > 4 or not word.isdigit()}
        return masked(text, suspects)

    def _suspects(self, text: str) -> dict[str, str]:
        """A quick choice before the exact search, because a study has thousands of words."""
        plain = bare(text)
        starts = {plain[place : place + length] for place in range(len(plain)) for length in (1, 2, 3)}
        words = (word for start in sorted(starts) for word in self._by_start.get(start, ()))
        return {word: self.words[word] for word in words if self.bare[word] in plain}
