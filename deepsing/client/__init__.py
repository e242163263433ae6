"""What an application imports to render stories.

    from deepsing.client import Client, StoryOptions

    async with Client("127.0.0.1:50051") as client:
        async for event in client.compose("song.mp3", StoryOptions(fps=24, size="16:9")):
            ...

Exceptions are in `deepsing.client.errors`; events are the contract's own messages, in `deepsing.v1.composer_pb2`.
"""

from deepsing.client.client import Client, render_story
from deepsing.client.errors import DeepsingError
from deepsing.client.options import StoryOptions
from deepsing.client.story import Story
from deepsing.client.storyboard import StoryboardKey

__all__ = ["Client", "StoryOptions", "Story", "StoryboardKey", "DeepsingError", "render_story"]
