"""Which words of a licence forbid commercial use."""

from typing import Final

_CLAUSES: Final = (
    (
        "bync",
        "Creative Commons BY-NC(-SA) 4.0, section 2(a)(1): the material may be reproduced, shared and adapted "
        "'for NonCommercial purposes only'",
    ),
    ("cleargrant", "without a clear grant the owners of the material keep all rights (copyright's default)"),
    ("nonestated", "without a stated licence the owners of the material keep all rights (copyright's default)"),
    ("researchonly", "the owners allow research only"),
)
"""What a licence's text holds, in small letters and digits alone, and the clause that refuses."""
_UNNAMED: Final = "the manifest says `commercial = false`"


def clauses(licence: str) -> tuple[str, ...]:
    """The clauses against commercial use that the text of a non-commercial licence names; never empty."""
    plain = "".join(letter for letter in licence.lower() if letter.isalnum())
    return tuple(clause for words, clause in _CLAUSES if words in plain) or (_UNNAMED,)
