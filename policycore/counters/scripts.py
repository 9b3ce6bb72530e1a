"""The counters' arithmetic as Redis runs it: two Lua scripts, on the server's own clock, in whole
microseconds.

Every script touches the keys of one hash tag only, so it runs on a cluster as well. A server's clock may step
back (a
failover to a replica that is off): what then lies in the future is brought back, because a burst is the
lesser evil.
"""

ADMIT = """
-- KEYS[1]: log of admissions, newest first. ARGV[1]: window; then one limit for each admission.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window = tonumber(ARGV[1])
local newest = tonumber(redis.call('LINDEX', KEYS[1], 0))
if newest and newest > now then
  if newest - now > 1000000 then redis.call('DEL', KEYS[1]) else now = newest end
end
local oldest = tonumber(redis.call('LINDEX', KEYS[1], -1))
while oldest and oldest <= now - window do
  redis.call('RPOP', KEYS[1])
  oldest = tonumber(redis.call('LINDEX', KEYS[1], -1))
end
local held = redis.call('LLEN', KEYS[1])
local before = held
local waits = {}
for i = 2, #ARGV do
  local limit = tonumber(ARGV[i])
  if limit <= 0 then
    waits[i - 1] = window
  elseif held < limit then
    redis.call('LPUSH', KEYS[1], string.format('%.0f', now))
    held = held + 1
    waits[i - 1] = 0
  else
    waits[i - 1] = redis.call('LINDEX', KEYS[1], limit - 1) + window - now
  end
end
if held > before then redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000) + 1) end
return waits
"""

TURNS = """
-- KEYS[1]: when the instance is due; KEYS[2..]: when each pair is. ARGV[1]: 'reserve', 'peek' or 'return';
-- then for each
-- request: number of its pair's key, instance's interval and tolerance, pair's interval and tolerance,
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
for i = 2, #ARGV, 6 do
  local pair = tonumber(ARGV[i])
  local instance_interval, instance_tolerance = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local pair_interval, pair_tolerance = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local longest = tonumber(ARGV[i + 5])
  local instance_due = due_at(1, instance_interval, instance_tolerance, longest)
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
      due[1] = instance_due + step * instance_interval
      changed[1] = true
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
