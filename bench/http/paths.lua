-- Requests images of a folder in turn, each at the path of the URL followed by its name: consecutive requests differ.
local paths = {}
local files = io.popen('ls "' .. os.getenv("IMAGES") .. '"')
for name in files:lines() do
  if name:match("%.jpg$") then
    paths[#paths + 1] = wrk.path .. name
  end
end
files:close()
local at = 0

request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end

done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %.3f %.3f\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(95) / 1000))
end
