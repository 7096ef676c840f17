-- Submits jobs that start tomorrow. Arguments: the token, and the time they start at.
local counter = 0
local thread = 0
local headers = {}
local start_at

function setup(t)
   t:set("number", thread)
   thread = thread + 1
end

function init(args)
   headers["Authorization"] = "Bearer " .. args[1]
   headers["Content-Type"] = "application/json"
   start_at = args[2]
end

function request()
   counter = counter + 1
   local n = number * 100000000 + counter
   local body = '{"template":"ask-variables","parameters":{"n":' .. n .. '},"start_at":"' .. start_at .. '"}'
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
