"""The story on a screen: what was asked, by whom, what came back, and why.  Plain text where there is no terminal."""

from rich.console import Console
from rich.text import Text

_WHO = 10
_NARROWEST = 20


class Teller:
    """Tells the steps as they happen; ``Teller(None)`` tells nothing."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        plain = console is None or "utf" not in console.encoding.lower()
        self._good, self._bad = ("ok", "FAILED") if plain else ("✓", "✗")

    def begin(self, number: int, title: str) -> None:
        """A step begins."""
        self._print(Text(f"\n{number}  {title}", "bold"))

    def tell(self, who: str, asked: str, came: str, why: str = "") -> None:
        """One thing was asked, and came back as the story says."""
        said = Text.assemble(asked, ": ", (came, "bold"))
        self._hang(Text.assemble((f"{self._good} ", "green"), (f"{who:<{_WHO}}", "cyan")), said)
        if why:
            self._hang(Text(" " * (len(self._good) + 1 + _WHO)), Text(f"why: {why}", "dim"))

    def say(self, text: str = "") -> None:
        """A line of plain words."""
        self._print(Text(text))

    def failed(self, number: int, title: str, why: str) -> None:
        """A step failed."""
        head = (f"\n{self._bad} step {number}, {title}: failed\n", "bold red")
        self._print(Text.assemble(head, f"  {why}"))

    def done(self, text: str) -> None:
        """The end."""
        self._print(Text.assemble((f"\n{self._good} ", "bold green"), text))

    def _hang(self, head: Text, said: Text) -> None:
        """A line under ``head``, and the lines it wraps into indented as far."""
        if self._console is None:
            return
        room = max(self._console.width - len(head), _NARROWEST)
        for line in said.wrap(self._console, room):
            line.rstrip()
            self._print(Text.assemble(head, line))
            head = Text(" " * len(head))

    def _print(self, text: Text) -> None:
        if self._console is not None:
            self._console.print(text, highlight=False, soft_wrap=True)
