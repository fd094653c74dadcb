"""Errors of the story.

StoryError
├── StepError         what came back is not what the story says
└── ServerError       the server did not start, or does not answer
"""


class StoryError(Exception):
    """The story can not go on."""


class StepError(StoryError):
    """What came back is not what the story says."""


class ServerError(StoryError):
    """The server did not start, or does not answer."""
