"""A queue in a server of Redis or Valkey, for composers on any machines. The server's clock is the only one.

Keys, all in one slot of a cluster: `ready` and `hidden`, stories to be told by turn, and those that are held or paused,
by the time at which they are free; `ended`, by the time at which they are due; `counts` and `turns` of each owner;
`turn`, the present one; `filled`; and for each story to be told a hash `story:NAME` of owner, turn and token. Each
command is one script, which the server runs at once and alone.
"""

import hashlib
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from services.composer.stored.queue import Queue, QueueError

__all__ = ["RedisQueue"]

TIMEOUT_S, RETRIES = 3.0, 2  # of one command; what is sent twice is done once, or is free again after its lease
VALUES = ("name", "owner", "token", "new", "most", "s")  # of the commands, in the order of ARGV
BEGIN = """
local key, name, owner, token, new, most, s = KEYS[1], unpack(ARGV)
local story = key .. 'story:' .. name
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
"""
FORGET = """
local owner = redis.call('HGET', story, 'owner')
if owner and redis.call('HINCRBY', key .. 'counts', owner, -1) <= 0 then
  redis.call('HDEL', key .. 'counts', owner)
  redis.call('HDEL', key .. 'turns', owner)
end
redis.call('DEL', story)
for _, set in ipairs({'ready', 'hidden', 'ended'}) do redis.call('ZREM', key .. set, name) end
"""
COMMANDS = {
    "add": """
if redis.call('EXISTS', story) == 1 then
  if tonumber(s) == 0 and redis.call('HGET', story, 'token') == '' then
    redis.call('ZADD', key .. 'hidden', 'XX', 'LT', now, name)
  end
  return -1
end
local count = tonumber(redis.call('HGET', key .. 'counts', owner) or 0)
if count >= tonumber(most) then return count end
local turn = 1 + math.max(redis.call('HGET', key .. 'turns', owner) or 0, redis.call('GET', key .. 'turn') or 0)
redis.call('HINCRBY', key .. 'counts', owner, 1)
redis.call('HSET', key .. 'turns', owner, turn)
redis.call('HSET', story, 'owner', owner, 'turn', turn, 'token', '')
redis.call('ZREM', key .. 'ended', name)
if tonumber(s) == 0 then redis.call('ZADD', key .. 'ready', turn, name)
else redis.call('ZADD', key .. 'hidden', now + s, name) end
return -1
""",
    "take": """
for _, shown in ipairs(redis.call('ZRANGEBYSCORE', key .. 'hidden', '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', key .. 'hidden', shown)
  redis.call('ZADD', key .. 'ready', redis.call('HGET', key .. 'story:' .. shown, 'turn') or 0, shown)
end
local first = redis.call('ZPOPMIN', key .. 'ready')
if #first == 0 then return false end
redis.call('SET', key .. 'turn', math.max(first[2], redis.call('GET', key .. 'turn') or 0))
redis.call('HSET', key .. 'story:' .. first[1], 'token', token)
redis.call('ZADD', key .. 'hidden', now + s, first[1])
return first[1]
""",
    "hide": """
if redis.call('HGET', story, 'token') ~= token then return 0 end
redis.call('ZREM', key .. 'ready', name)
redis.call('ZADD', key .. 'hidden', now + s, name)
redis.call('HSET', story, 'token', new)
return 1
""",
    "end": FORGET + "redis.call('ZADD', key .. 'ended', now + s, name)",
    "remove": FORGET,
    "take_due": """
local due = redis.call('ZRANGEBYSCORE', key .. 'ended', '-inf', now, 'LIMIT', 0, most)
for _, one in ipairs(due) do redis.call('ZADD', key .. 'ended', now + s, one) end
return due
""",
    "count": "return redis.call('ZCARD', key .. 'ready') + redis.call('ZCARD', key .. 'hidden')",
    "is_filled": "return redis.call('EXISTS', key .. 'filled')",
    "set_filled": "redis.call('SET', key .. 'filled', 1)",
}


class RedisQueue(Queue):
    """See Queue. It connects when it is first needed.

    Args:
        url: of the server, as redis-py reads it.
        store: the store that the stories are in; queues of several stores may be on one server.
    """

    def __init__(self, url: str, store: str) -> None:
        self._key = f"deepsing:{{{hashlib.sha256(store.encode()).hexdigest()[:12]}}}:"
        retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES)
        timeouts = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
        self._server = redis.from_url(url, decode_responses=True, retry=retry, **timeouts)
        self._scripts = {name: self._server.register_script(BEGIN + script) for name, script in COMMANDS.items()}

    async def _do(self, command: str, **values: Any) -> Any:
        try:
            return await self._scripts[command]([self._key], [values.get(name, "") for name in VALUES])
        except (redis.RedisError, OSError) as error:
            raise QueueError(f"the queue's server does not answer or refuses ({error})") from error

    async def close(self) -> None:
        """See Queue."""
        await self._server.aclose()
