"""Names, numbers and dates of a study's women, so that an audit can find them in texts and never repeat them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...dicom.identity import bare, found_identity, masked

__all__ = ["StudyIdentity"]


class StudyIdentity:
    """The words of all headers of a study.

    A word that stands in the headers of every woman (of two or more) names none of them: the ``TRIAL`` of TRIAL^0001.

    Args:
        words: of each patient: word -> kind, from ``identifying_words``.
    """

    def __init__(self, words: Iterable[Mapping[str, str]]) -> None:
        of_patients = [told for told in words if told]
        of_all = set.intersection(*(set(told) for told in of_patients)) if len(of_patients) > 1 else set()
        self.words: dict[str, str] = {}
        for told in of_patients:
            self.words.update({word: kind for word, kind in told.items() if word not in of_all})
        self.bare = {word: bare(word) for word in self.words}

    def kinds(self, text: str, words: Iterable[str] | None = None) -> list[str]:
        """Kinds of the words in a text ("name", "patient ID", "date" ...), of all words or of some ``words``."""
        return found_identity(text, self._suspects(text, words))

    def masked(self, text: str) -> str:
        """The text without those words and without whatever looks like a date."""
        return masked(text, self._suspects(text))

    def _suspects(self, text: str, words: Iterable[str] | None = None) -> dict[str, str]:
        """A quick choice before the exact search, because a study has thousands of words."""
        plain = bare(text)
        chosen = self.words if words is None else {word: self.words[word] for word in words if word in self.words}
        return {word: kind for word, kind in chosen.items() if self.bare[word] in plain}
