-- Posts a folder's images in turn: consecutive requests have different bodies.
local bodies = {}
local files = io.popen('ls "' .. os.getenv("IMAGES") .. '"/*.jpg')
for name in files:lines() do
  local file = io.open(name, "rb")
  bodies[#bodies + 1] = file:read("*a")
  file:close()
end
files:close()
local at = 0

request = function()
  at = at % #bodies + 1
  return wrk.format("POST", nil, {["Content-Type"] = "image/jpeg"}, bodies[at])
end

done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %.3f %.3f\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(95) / 1000))
end
