-- wrk script: sends requests of one kind over a range of keys and prints the outcome as JSON.
-- Set by the environment: BENCH_METHOD, BENCH_PATH (with {key} where the key goes), BENCH_KEYS
-- (how many), BENCH_KEY_FORMAT (as for string.format), BENCH_BODY (a file), BENCH_BEARER (a token),
-- BENCH_DELAY (milliseconds that a connection waits between an answer and its next request).
-- The requests are made ready beforehand, so that wrk spends its time on sending.

local prepared = {}
local turn = 0

function init(args)
  local method = os.getenv("BENCH_METHOD") or "GET"
  local path = os.getenv("BENCH_PATH")
  local count = tonumber(os.getenv("BENCH_KEYS") or "1")
  local form = os.getenv("BENCH_KEY_FORMAT") or "%d"
  local body = nil
  local headers = {}
  if os.getenv("BENCH_BODY") then
    local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
    body = file:read("*a")
    file:close()
    headers["Content-Type"] = "application/octet-stream"
  end
  if os.getenv("BENCH_BEARER") then
    headers["Authorization"] = "Bearer " .. os.getenv("BENCH_BEARER")
  end
  for number = 0, count - 1 do
    local key = string.format(form, number)
    local target = string.gsub(path, "{key}", function() return key end)
    prepared[number] = wrk.format(method, target, headers, body)
  end
end

if os.getenv("BENCH_DELAY") then
  local pause = tonumber(os.getenv("BENCH_DELAY"))
  function delay()
    return pause
  end
end

function request()
  local number = turn % (#prepared + 1)
  turn = turn + 1
  return prepared[number]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d, '
      .. '"bad_status": %d, "socket_errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
