"""Many files, several at a time, in a way that can be killed and goes on where it was; without a command line."""

from arpc_codec.batch.decoding import Decoding
from arpc_codec.batch.encoding import Encoding
from arpc_codec.batch.engine import Engine
from arpc_codec.batch.run import Batch
from arpc_codec.batch.task import Made, Task
from arpc_codec.batch.walk import Job, walk

__all__ = ["Batch", "Decoding", "Encoding", "Engine", "Job", "Made", "Task", "walk"]
