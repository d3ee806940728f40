-- wrk script: spends refresh tokens, each once, and goes on with those that come back.
-- BENCH_TOKENS is a file with one token a line, more than there are connections: a token that an
-- answer brings joins the end of the queue, whichever connection it came by.

local queue = {}
local first = 1
local last = 0

function init(args)
  for token in io.lines(os.getenv("BENCH_TOKENS")) do
    last = last + 1
    queue[last] = token
  end
end

function request()
  local token = queue[first]
  queue[first] = nil
  first = first + 1
  local body = '{"refresh_token":"' .. token .. '"}'
  return wrk.format("POST", "/v1/sessions/refresh", {["Content-Type"] = "application/json"}, body)
end

function response(status, headers, body)
  if status == 200 then
    last = last + 1
    queue[last] = string.match(body, '"refresh_token":"([^"]+)"')
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d, '
      .. '"bad_status": %d, "socket_errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
