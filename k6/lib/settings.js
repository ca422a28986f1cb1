// What the scripts take from the environment (`k6 run -e NAME=value`), and what follows from it.

export const URL = (__ENV.VARVE_URL || 'http://127.0.0.1:4400').replace(/\/+$/, '')
export const WEBSOCKET_URL = URL.replace(/^http/, 'ws')
export const VUS = wholeNumber('VUS', 16)
export const SECONDS = seconds(__ENV.DURATION || '30s')
/** Longest 99th percentile of an append or read that still passes. */
const P99_MS = wholeNumber('P99_MS', 1000)

/** Time after the load for what is under way to come to its end; then k6 stops it. */
export const GRACE_SECONDS = 10

/** Up within a tenth of the time, down within another. */
export function stages(target) {
  const edge = Math.max(1, Math.round(SECONDS / 10))
  return [
    { duration: `${edge}s`, target },
    { duration: `${Math.max(1, SECONDS - 2 * edge)}s`, target },
    { duration: `${edge}s`, target: 0 },
  ]
}

/** Options of a script: its scenarios, and the thresholds that all scripts share. */
export function makeOptions(scenarios, thresholds) {
  return {
    scenarios,
    thresholds: Object.assign(
      {
        checks: ['rate==1'],
        iterations: ['count>0'],
        http_req_failed: ['rate==0'],
        http_req_duration: [`p(99)<${P99_MS}`],
      },
      thresholds || {},
    ),
    summaryTrendStats: ['min', 'med', 'p(95)', 'p(99)', 'max'],
    setupTimeout: '120s',
    teardownTimeout: '120s',
    noCookiesReset: true,
  }
}

/** A part of the virtual users, at least one. */
export function share(part) {
  return Math.max(1, Math.round(VUS * part))
}

function wholeNumber(name, fallback) {
  const value = __ENV[name] === undefined ? fallback : Number(__ENV[name])
  if (!(value >= 1) || Math.floor(value) !== value) {
    throw new Error(`${name} is ${__ENV[name]}, expected a whole number from 1 on`)
  }
  return value
}

/** `90s`, `5m`, `1h30m` → seconds */
function seconds(text) {
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text)
  const total = match
    ? Number(match[1] || 0) * 3600 + Number(match[2] || 0) * 60 + Number(match[3] || 0)
    : 0
  if (total < 3) throw new Error(`DURATION is ${text}, expected 3s or more, as in 90s or 5m`)
  return total
}
