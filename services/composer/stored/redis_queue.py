"""A queue in a server of Redis or Valkey, for composers on any machines. The server's clock is the only one.

Keys, all in one slot of a cluster: `ready` and `hidden`, stories to be told by turn, and those that are held or paused,
by the time at which they are free; `ended`, by the time at which they are due; `counts` and `turns` of each owner;
`turn`, the present one; `filled`; and for each story to be told a hash `story:NAME` of owner, turn and token. Each
method is one script, which the server runs at once and alone.
"""

import hashlib
import secrets
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from services.composer.stored.queue import LOOK_AGAIN_S, QueueError, QueueFull, Ticket

__all__ = ["RedisQueue"]

TIMEOUT_S, RETRIES = 3.0, 2  # of one command; what is sent twice is done once, or is free again after its lease
BEGIN = """
local key = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local story = key .. 'story:' .. (ARGV[1] or '')
"""
ADD = """
local name, owner, most, pause = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('EXISTS', story) == 1 then
  if pause == 0 and redis.call('HGET', story, 'token') == '' then
    redis.call('ZADD', key .. 'hidden', 'XX', 'LT', now, name)
  end
  return -1
end
local count = tonumber(redis.call('HGET', key .. 'counts', owner) or 0)
if count >= most then return count end
local turn = 1 + math.max(redis.call('HGET', key .. 'turns', owner) or 0, redis.call('GET', key .. 'turn') or 0)
redis.call('HINCRBY', key .. 'counts', owner, 1)
redis.call('HSET', key .. 'turns', owner, turn)
redis.call('HSET', story, 'owner', owner, 'turn', turn, 'token', '')
redis.call('ZREM', key .. 'ended', name)
if pause == 0 then redis.call('ZADD', key .. 'ready', turn, name)
else redis.call('ZADD', key .. 'hidden', now + pause, name) end
return -1
"""
TAKE = """
for _, name in ipairs(redis.call('ZRANGEBYSCORE', key .. 'hidden', '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', key .. 'hidden', name)
  redis.call('ZADD', key .. 'ready', redis.call('HGET', key .. 'story:' .. name, 'turn') or 0, name)
end
local first = redis.call('ZPOPMIN', key .. 'ready')
if #first == 0 then return false end
redis.call('SET', key .. 'turn', math.max(first[2], redis.call('GET', key .. 'turn') or 0))
redis.call('HSET', key .. 'story:' .. first[1], 'token', ARGV[2])
redis.call('ZADD', key .. 'hidden', now + ARGV[3], first[1])
return first[1]
"""
HIDE = """
if redis.call('HGET', story, 'token') ~= ARGV[2] then return 0 end
redis.call('ZREM', key .. 'ready', ARGV[1])
redis.call('ZADD', key .. 'hidden', now + ARGV[4], ARGV[1])
redis.call('HSET', story, 'token', ARGV[3])
return 1
"""
END = """
local owner = redis.call('HGET', story, 'owner')
if owner and redis.call('HINCRBY', key .. 'counts', owner, -1) <= 0 then
  redis.call('HDEL', key .. 'counts', owner)
  redis.call('HDEL', key .. 'turns', owner)
end
redis.call('DEL', story)
redis.call('ZREM', key .. 'ready', ARGV[1])
redis.call('ZREM', key .. 'hidden', ARGV[1])
redis.call('ZREM', key .. 'ended', ARGV[1])
if ARGV[2] ~= '' then redis.call('ZADD', key .. 'ended', now + ARGV[2], ARGV[1]) end
"""
TAKE_DUE = """
local due = redis.call('ZRANGEBYSCORE', key .. 'ended', '-inf', now, 'LIMIT', 0, ARGV[2])
for _, name in ipairs(due) do redis.call('ZADD', key .. 'ended', now + ARGV[3], name) end
return due
"""
COUNT = "return redis.call('ZCARD', key .. 'ready') + redis.call('ZCARD', key .. 'hidden')"
IS_FILLED = "return redis.call('EXISTS', key .. 'filled')"
SET_FILLED = "redis.call('SET', key .. 'filled', 1)"


class RedisQueue:
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

    async def _run(self, script: str, *arguments: object) -> Any:
        try:
            return await self._server.register_script(BEGIN + script)([self._key], arguments)
        except (redis.RedisError, OSError) as error:
            raise QueueError(f"the queue's server does not answer or refuses ({error})") from error

    async def add(self, name: str, owner: str, most: int, pause_s: float = 0.0) -> None:
        """See Queue."""
        count = await self._run(ADD, name, owner, most, pause_s)
        if count >= 0:
            raise QueueFull(count)

    async def take(self, lease_s: float) -> Ticket | None:
        """See Queue."""
        token = secrets.token_hex(8)
        name = await self._run(TAKE, "", token, lease_s)
        return Ticket(name, token) if name else None

    async def renew(self, ticket: Ticket, lease_s: float) -> bool:
        """See Queue."""
        return bool(await self._run(HIDE, ticket.name, ticket.token, ticket.token, lease_s))

    async def release(self, ticket: Ticket, pause_s: float) -> None:
        """See Queue."""
        await self._run(HIDE, ticket.name, ticket.token, "", pause_s)

    async def end(self, name: str, after_s: float) -> None:
        """See Queue."""
        await self._run(END, name, after_s)

    async def take_due(self, most: int) -> list[str]:
        """See Queue."""
        return list(await self._run(TAKE_DUE, "", most, LOOK_AGAIN_S))

    async def remove(self, name: str) -> None:
        """See Queue."""
        await self._run(END, name, "")

    async def count(self) -> int:
        """See Queue."""
        return int(await self._run(COUNT))

    async def is_filled(self) -> bool:
        """See Queue."""
        return bool(await self._run(IS_FILLED))

    async def set_filled(self) -> None:
        """See Queue."""
        await self._run(SET_FILLED)

    async def close(self) -> None:
        """See Queue."""
        await self._server.aclose()
