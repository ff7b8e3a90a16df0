-- Streams prepared requests to a gateway, each once: wrk -s wrk.lua URL -- FILE
--
-- FILE holds complete HTTP requests, each behind its length (3 bytes, the highest first). No work is done here that the
-- server would wait for: nothing is rendered or signed, and no answer is looked at. The last line printed is JSON.

local file, last
spent = 0 -- requests asked for after the end of the file: one makes the run worthless
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  file = assert(io.open(args[1], "rb"))
  file:setvbuf("full", 1048576)
end

function request()
  local head = file:read(3)
  if not head then
    spent = spent + 1
    return last
  end
  local high, middle, low = head:byte(1, 3)
  last = file:read(high * 65536 + middle * 256 + low)
  return last
end

function done(summary, latency)
  local late = 0
  for _, thread in ipairs(threads) do
    late = late + thread:get("spent")
  end
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, "refused": %d, "broken": %d, "spent": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, late
  ))
end
