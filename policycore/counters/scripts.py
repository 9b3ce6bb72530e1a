"""The counters' arithmetic as Redis runs it: two Lua scripts, on the server's own clock, in whole
microseconds.

A script takes keys of any number, and on a cluster those of one hash tag only. A server's clock may step
back (a
failover to a replica that is off): what then lies in the future is brought back, because a burst is the
lesser evil.
"""

ADMIT = """
-- KEYS: logs of admissions, newest first. ARGV: for each admission the number of its log's key, window and limit.
local time = redis.call('TIME')
local server_now = time[1] * 1000000 + time[2]
local logs = {}
local function opened(k, window)
  if logs[k] then return logs[k] end
  local log = {now = server_now, window = window}
  local newest = tonumber(redis.call('LINDEX', KEYS[k], 0))
  if newest and newest > server_now then
    if newest - server_now > 1000000 then redis.call('DEL', KEYS[k]) else log.now = newest end
  end
  local oldest = tonumber(redis.call('LINDEX', KEYS[k], -1))
  while oldest and oldest <= log.now - window do
    redis.call('RPOP', KEYS[k])
    oldest = tonumber(redis.call('LINDEX', KEYS[k], -1))
  end
  log.held = redis.call('LLEN', KEYS[k])
  logs[k] = log
  return log
end
local waits = {}
local grown = {}
for i = 1, #ARGV, 3 do
  local k, window, limit = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local log = opened(k, window)
  local wait = 0
  if limit <= 0 then
    wait = window
  elseif log.held < limit then
    redis.call('LPUSH', KEYS[k], string.format('%.0f', log.now))
    log.held = log.held + 1
    grown[k] = true
  else
    wait = redis.call('LINDEX', KEYS[k], limit - 1) + window - log.now
  end
  waits[#waits + 1] = wait
end
for k in pairs(grown) do redis.call('PEXPIRE', KEYS[k], math.ceil(logs[k].window / 1000) + 1) end
return waits
"""

TURNS = """
-- KEYS: when each instance and each pair is due. ARGV[1]: 'reserve', 'peek' or 'return'; then for each request:
-- numbers of its instance's and its pair's key, instance's interval and tolerance, pair's interval and tolerance,
-- longest wait.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local mode = ARGV[1]
local due = {}
local changed = {}
local function due_at(k, interval, tolerance, longest)
  if due[k] == nil then due[k] = tonumber(redis.call('GET', KEYS[k])) or now end
  if due[k] > now + interval + tolerance + longest + 3600000000 then due[k] = now end
  return math.max(due[k], now)
end
local answers = {}
for i = 2, #ARGV, 7 do
  local instance, pair = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local instance_interval, instance_tolerance = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local pair_interval, pair_tolerance = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  local longest = tonumber(ARGV[i + 6])
  local instance_due = due_at(instance, instance_interval, instance_tolerance, longest)
  local pair_due = due_at(pair, pair_interval, pair_tolerance, longest)
  local step = 0
  if mode == 'return' then
    step = -1
  else
    local instance_wait, pair_wait = 0, 0
    if instance_interval > 0 then instance_wait = math.max(0, instance_due - instance_tolerance - now) end
    if pair_interval > 0 then pair_wait = math.max(0, pair_due - pair_tolerance - now) end
    if mode == 'reserve' and math.max(instance_wait, pair_wait) <= longest then step = 1 end
    answers[#answers + 1] = instance_wait
    answers[#answers + 1] = pair_wait
    answers[#answers + 1] = step
  end
  if step ~= 0 then
    if instance_interval > 0 then
      due[instance] = instance_due + step * instance_interval
      changed[instance] = true
    end
    if pair_interval > 0 then
      due[pair] = pair_due + step * pair_interval
      changed[pair] = true
    end
  end
end
for k in pairs(changed) do
  if due[k] > now then
    redis.call('SET', KEYS[k], string.format('%.0f', due[k]), 'PX', math.ceil((due[k] - now) / 1000) + 1)
  else
    redis.call('DEL', KEYS[k])
  end
end
return answers
"""
