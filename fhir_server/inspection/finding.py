"""What is wrong, in one line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong; it names type and record by number, and nothing of what is in them."""

    type_: str
    rid: int
    words: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.type_}, record {self.rid}: {self.words}"
