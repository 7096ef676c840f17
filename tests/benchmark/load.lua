-- Submits jobs that start tomorrow, reads, or delivers events as GitLab does. Arguments: the token; then `submit` and
-- the time they start at, or `read` or `deliver` and a path.
local counter = 0
local thread = 0
local headers = {}
local what, argument

function setup(t)
   t:set("number", thread)
   thread = thread + 1
end

function init(args)
   headers["Authorization"] = "Bearer " .. args[1]
   headers["Content-Type"] = "application/json"
   headers["X-Gitlab-Token"] = args[1]
   headers["X-Gitlab-Event"] = "Push Hook"
   what, argument = args[2], args[3]
end

function request()
   if what == "read" then
      return wrk.format("GET", argument, headers)
   end
   counter = counter + 1
   local n = number * 100000000 + counter
   if what == "deliver" then
      headers["Idempotency-Key"] = tostring(n)
      local event = '{"object_kind":"push","ref":"refs/heads/main","n":' .. n .. '}'
      return wrk.format("POST", argument, headers, event)
   end
   local body = '{"template":"ask-variables","parameters":{"n":' .. n .. '},"start_at":"' .. argument .. '"}'
   return wrk.format("POST", "/api/v1/jobs", headers, body)
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"requests":%d,"micros":%d,"refused":%d,"broken":%d,"p50":%d,"p99":%d}\n',
      summary.requests, summary.duration, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99)))
end
